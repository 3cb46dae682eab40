//! DIMSE commands: what is asked, and the answer. Always implicit little endian (PS3.7 6.3.1). Read and written here,
//! because a general parser makes room for whatever length a command states.

use super::status::Status;

/// Longest command taken; real ones have some hundred bytes.
pub const COMMAND_BYTES: usize = 8 << 10;

/// C-STORE-RQ, C-ECHO-RQ and C-CANCEL-RQ (PS3.7 E.1).
const C_STORE: u16 = 0x0001;
const C_ECHO: u16 = 0x0030;
const C_CANCEL: u16 = 0x0FFF;
/// Set in a command field, it is the response.
const RESPONSE: u16 = 0x8000;
/// CommandDataSetType: no data set follows.
const NO_DATA_SET: u16 = 0x0101;

/// Elements of group 0000.
mod element {
    pub const GROUP_LENGTH: u16 = 0x0000;
    pub const AFFECTED_CLASS: u16 = 0x0002;
    pub const FIELD: u16 = 0x0100;
    pub const MESSAGE_ID: u16 = 0x0110;
    pub const RESPONDED_TO: u16 = 0x0120;
    pub const DATA_SET_TYPE: u16 = 0x0800;
    pub const STATUS: u16 = 0x0900;
    pub const COMMENT: u16 = 0x0902;
    pub const AFFECTED_INSTANCE: u16 = 0x1000;
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Are you there?
    Echo,
    /// Keep an image.
    Store,
    /// Stop what was asked; there is never anything to stop.
    Cancel,
    /// Something else.
    Other(u16),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What for.
    pub operation: Operation,
    /// Told again in the answer.
    pub message_id: u16,
    /// AffectedSOPClassUID.
    pub class: String,
    /// AffectedSOPInstanceUID.
    pub instance: String,
    /// Whether a data set follows.
    pub has_data: bool,
    field: u16,
}

impl Command {
    /// Reads a request.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (mut field, mut message_id, mut data_set) = (None, None, None);
        let (mut class, mut instance) = (String::new(), String::new());
        let mut rest = bytes;
        while !rest.is_empty() {
            let (number, value, after) =
                element_of(rest).ok_or_else(|| format!("a command ends early, at {} bytes", bytes.len()))?;
            match number {
                element::FIELD => field = short(value),
                element::MESSAGE_ID => message_id = short(value),
                element::DATA_SET_TYPE => data_set = short(value),
                element::AFFECTED_CLASS => class = uid(value),
                element::AFFECTED_INSTANCE => instance = uid(value),
                _ => {}
            }
            rest = after;
        }
        let field = field.ok_or("a command without CommandField (0000,0100)")?;
        let operation = match field {
            C_STORE => Operation::Store,
            C_ECHO => Operation::Echo,
            C_CANCEL => Operation::Cancel,
            other => Operation::Other(other),
        };
        let has_data = data_set.ok_or("a command without CommandDataSetType (0000,0800)")? != NO_DATA_SET;
        Ok(Self { operation, message_id: message_id.unwrap_or(0), class, instance, has_data, field })
    }

    /// The answer.
    pub fn answer(&self, status: &Status) -> Vec<u8> {
        let mut elements = Vec::new();
        if !self.class.is_empty() {
            put(&mut elements, element::AFFECTED_CLASS, &padded(&self.class, 0));
        }
        put(&mut elements, element::FIELD, &(self.field | RESPONSE).to_le_bytes());
        put(&mut elements, element::RESPONDED_TO, &self.message_id.to_le_bytes());
        put(&mut elements, element::DATA_SET_TYPE, &NO_DATA_SET.to_le_bytes());
        put(&mut elements, element::STATUS, &status.code.to_le_bytes());
        if !status.comment.is_empty() {
            put(&mut elements, element::COMMENT, &padded(&status.comment, b' '));
        }
        if !self.instance.is_empty() {
            put(&mut elements, element::AFFECTED_INSTANCE, &padded(&self.instance, 0));
        }
        let mut command = Vec::with_capacity(12 + elements.len());
        put(&mut command, element::GROUP_LENGTH, &(elements.len() as u32).to_le_bytes());
        command.extend(elements);
        command
    }
}

/// The first element's number and value, and what follows; nothing when it is cut off or of another group.
fn element_of(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[0, 0, low, high, a, b, c, d], rest) = bytes.split_first_chunk::<8>()? else { return None };
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    let (value, after) = rest.split_at_checked(length)?;
    Some((u16::from_le_bytes([low, high]), value, after))
}

fn put(into: &mut Vec<u8>, number: u16, value: &[u8]) {
    into.extend([0, 0]);
    into.extend(number.to_le_bytes());
    // Comments and UIDs are short.
    into.extend((value.len() as u32).to_le_bytes());
    into.extend(value);
}

fn short(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn uid(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

/// Values have an even length.
fn padded(text: &str, with: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(with);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(field: u16, data_set: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, element::AFFECTED_CLASS, b"1.2.3\0");
        put(&mut bytes, element::FIELD, &field.to_le_bytes());
        put(&mut bytes, element::MESSAGE_ID, &7u16.to_le_bytes());
        put(&mut bytes, element::DATA_SET_TYPE, &data_set.to_le_bytes());
        put(&mut bytes, element::AFFECTED_INSTANCE, b"1.2.3.4\0");
        bytes
    }

    #[test]
    fn a_request_is_read_and_its_answer_names_it() {
        let command = Command::parse(&request(C_STORE, 0)).unwrap();
        assert_eq!((command.operation, command.message_id, command.has_data), (Operation::Store, 7, true));
        assert_eq!((command.class.as_str(), command.instance.as_str()), ("1.2.3", "1.2.3.4"));
        let answer = command.answer(&Status::cannot_understand("too odd"));
        assert_eq!(answer.len() % 2, 0);
        let told = Command::parse(&answer).unwrap();
        assert_eq!((told.operation, told.has_data), (Operation::Other(0x8001), false));
        assert_eq!((told.class, told.instance), (command.class, command.instance));
        assert!(answer.windows(8).any(|w| w == b"too odd "));
        let echo = Command::parse(&request(C_ECHO, NO_DATA_SET)).unwrap();
        assert_eq!((echo.operation, echo.has_data), (Operation::Echo, false));
    }

    #[test]
    fn a_command_that_is_cut_off_or_states_a_huge_length_is_refused() {
        let whole = request(C_STORE, 0);
        for cut in 1..whole.len() {
            // Between two elements it may be one that lacks something.
            let _ = Command::parse(&whole[..cut]);
        }
        let mut huge = request(C_STORE, 0);
        let at = huge.len() - 12;
        huge[at..at + 4].fill(0xFF);
        assert!(Command::parse(&huge).unwrap_err().contains("ends early"));
        assert!(Command::parse(&[]).is_err());
    }

    #[test]
    fn a_comment_fits_and_holds_nothing_that_breaks_a_value() {
        let status = Status::out_of_resources("é\\\n".repeat(100));
        assert_eq!((status.code, status.comment.len()), (0xA700, 64));
        assert!(status.comment.bytes().all(|b| b == b'?'));
    }
}
