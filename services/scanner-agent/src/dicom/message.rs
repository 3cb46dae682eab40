//! Messages put together from the pieces in which they come. Pure, and bounded.

use dicom_ul::pdu::{PDataValue, PDataValueType};

use super::command::{COMMAND_BYTES, Command};

/// A whole request.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The presentation context it came in, and goes back in.
    pub context: u8,
    /// What is asked.
    pub command: Command,
    /// The data set.
    pub data: Data,
}

/// A data set.
#[derive(Debug, PartialEq, Eq)]
pub enum Data {
    /// None was announced.
    None,
    /// All of it.
    Whole(Vec<u8>),
    /// It has so many bytes, which is too many; they were thrown away.
    TooLarge(usize),
    /// There was no room for it, for this reason.
    NoRoom(String),
}

/// What has come of a message.
#[derive(Debug)]
pub struct Inbox {
    limit: usize,
    command: Vec<u8>,
    announced: Option<(u8, Command)>,
    data: Vec<u8>,
    /// Bytes of the data set, kept or not.
    bytes: usize,
    /// Why the data set is thrown away.
    no_room: Option<String>,
}

impl Inbox {
    /// For data sets of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, command: Vec::new(), announced: None, data: Vec::new(), bytes: 0, no_room: None }
    }

    /// Whether a part of a message is there.
    pub fn is_busy(&self) -> bool {
        self.announced.is_some() || !self.command.is_empty()
    }

    /// Bytes of the data set that are kept.
    pub fn held(&self) -> usize {
        self.data.capacity()
    }

    /// Throws the data set away of which a part is there, and what is to come of it.
    pub fn give_up(&mut self, why: String) {
        self.data = Vec::new();
        self.no_room = Some(why);
    }

    /// Takes a piece; the message when it is the last one. An error ends the association.
    pub fn take(&mut self, piece: PDataValue) -> Result<Option<Message>, String> {
        match piece.value_type {
            PDataValueType::Command => self.take_command(&piece),
            PDataValueType::Data => self.take_data(piece),
        }
    }

    fn take_command(&mut self, piece: &PDataValue) -> Result<Option<Message>, String> {
        if self.announced.is_some() {
            return Err("a command where a data set was announced".into());
        }
        if self.command.len() + piece.data.len() > COMMAND_BYTES {
            return Err(format!("a command of more than {COMMAND_BYTES} bytes"));
        }
        self.command.extend_from_slice(&piece.data);
        if !piece.is_last {
            return Ok(None);
        }
        let command = Command::parse(&std::mem::take(&mut self.command))?;
        let context = piece.presentation_context_id;
        if !command.has_data {
            return Ok(Some(Message { context, command, data: Data::None }));
        }
        self.announced = Some((context, command));
        Ok(None)
    }

    fn take_data(&mut self, piece: PDataValue) -> Result<Option<Message>, String> {
        match &self.announced {
            Some((context, _)) if *context == piece.presentation_context_id => {}
            _ => return Err("a data set that no command announced".into()),
        }
        self.bytes = self.bytes.saturating_add(piece.data.len());
        if self.bytes > self.limit || self.no_room.is_some() {
            self.data = Vec::new();
        } else if self.data.is_empty() {
            self.data = piece.data;
        } else {
            self.data.extend_from_slice(&piece.data);
        }
        if !piece.is_last {
            return Ok(None);
        }
        let (data, bytes) = (std::mem::take(&mut self.data), std::mem::take(&mut self.bytes));
        let data = match self.no_room.take() {
            _ if bytes > self.limit => Data::TooLarge(bytes),
            Some(why) => Data::NoRoom(why),
            None => Data::Whole(data),
        };
        Ok(self.announced.take().map(|(context, command)| Message { context, command, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::Status;
    use super::*;

    /// A C-STORE request, made of a response to one: the bit is the only difference that matters here.
    fn store() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (element, value) in [(0x0100u16, 1u16), (0x0110, 3), (0x0800, 0)] {
            bytes.extend([0, 0]);
            bytes.extend(element.to_le_bytes());
            bytes.extend(2u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    fn piece(value_type: PDataValueType, is_last: bool, data: &[u8]) -> PDataValue {
        PDataValue { presentation_context_id: 1, value_type, is_last, data: data.to_vec() }
    }

    #[test]
    fn a_message_in_many_pieces_is_put_together() {
        let mut inbox = Inbox::new(8);
        let command = store();
        for (i, byte) in command.chunks(5).enumerate() {
            let is_last = (i + 1) * 5 >= command.len();
            assert_eq!(inbox.take(piece(PDataValueType::Command, is_last, byte)), Ok(None));
            assert!(inbox.is_busy());
        }
        assert_eq!(inbox.take(piece(PDataValueType::Data, false, b"abcd")), Ok(None));
        let message = inbox.take(piece(PDataValueType::Data, true, b"efgh")).unwrap().unwrap();
        assert_eq!(message.data, Data::Whole(b"abcdefgh".to_vec()));
        assert_eq!(message.command.answer(&Status::SUCCESS)[..4], [0, 0, 0, 0]);
        assert!(!inbox.is_busy());
    }

    #[test]
    fn a_data_set_that_is_too_large_is_counted_and_not_kept() {
        let mut inbox = Inbox::new(8);
        inbox.take(piece(PDataValueType::Command, true, &store())).unwrap();
        for _ in 0..1_000 {
            assert_eq!(inbox.take(piece(PDataValueType::Data, false, b"abcd")), Ok(None));
            assert!(inbox.data.len() <= 8);
        }
        let message = inbox.take(piece(PDataValueType::Data, true, b"e")).unwrap().unwrap();
        assert_eq!(message.data, Data::TooLarge(4_001));
    }

    #[test]
    fn a_data_set_without_room_is_thrown_away_and_the_next_one_is_kept() {
        let mut inbox = Inbox::new(8);
        inbox.take(piece(PDataValueType::Command, true, &store())).unwrap();
        assert_eq!(inbox.take(piece(PDataValueType::Data, false, b"ab")), Ok(None));
        inbox.give_up("full".into());
        assert_eq!(inbox.take(piece(PDataValueType::Data, false, b"cd")), Ok(None));
        assert_eq!(inbox.held(), 0);
        let message = inbox.take(piece(PDataValueType::Data, true, b"e")).unwrap().unwrap();
        assert_eq!(message.data, Data::NoRoom("full".into()));
        inbox.take(piece(PDataValueType::Command, true, &store())).unwrap();
        let message = inbox.take(piece(PDataValueType::Data, true, b"ab")).unwrap().unwrap();
        assert_eq!(message.data, Data::Whole(b"ab".to_vec()));
    }

    #[test]
    fn pieces_out_of_order_end_the_association() {
        assert!(Inbox::new(8).take(piece(PDataValueType::Data, true, b"x")).is_err());
        let mut inbox = Inbox::new(8);
        inbox.take(piece(PDataValueType::Command, true, &store())).unwrap();
        assert!(inbox.take(piece(PDataValueType::Command, true, &store())).is_err());
        assert!(Inbox::new(8).take(piece(PDataValueType::Command, false, &[0; 9_000])).is_err());
    }
}
