//! One association: what was negotiated, its requests and their answers, and how it ended.

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use dicom_dictionary_std::uids;
use dicom_ul::association::server::{AccessControl, ServerAssociationOptions};
use dicom_ul::association::{Association as _, AsyncAssociation as _, AsyncServerAssociation};
use dicom_ul::pdu::{
    AssociationRJServiceUserReason, PDataValue, PDataValueType, Pdu, UserIdentity, read_pdu,
};
use ovomesh_api::LineBook;
use ovomesh_intake::ImageOrigin;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::command::Operation;
use super::file::file;
use super::message::{Data, Inbox, Message};
use super::receive::{Incoming, Receiver};
use super::series::AssociationId;
use super::status::Status;
use crate::memory::Room;

/// Kinds of images that are taken.
const CLASSES: [&str; 3] = [
    uids::MR_IMAGE_STORAGE,
    uids::ENHANCED_MR_IMAGE_STORAGE,
    uids::LEGACY_CONVERTED_ENHANCED_MR_IMAGE_STORAGE,
];
/// Transfer syntaxes that can be decoded. Explicit big endian is retired; old scanners still send it.
const SYNTAXES: [&str; 9] = [
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.2",
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    uids::RLE_LOSSLESS,
    uids::JPEG2000_LOSSLESS,
    uids::JPEG2000,
    uids::JPEG_LOSSLESS,
    uids::JPEG_LOSSLESS_SV1,
];
/// Longest PDU taken: a slice of 64 KiB in one.
const PDU_BYTES: u32 = 128 << 10;
/// A peer asks for its association within this time, sends the pieces of a message, and reads answers.
const PROMPT: Duration = Duration::from_secs(10);
/// Longest pause between messages: a scanner may keep its association from egg to egg.
const IDLE: Duration = Duration::from_secs(600);
/// Longest UID (PS3.5 9.1).
const UID_BYTES: usize = 64;

/// Who may associate.
#[derive(Clone)]
pub struct Access {
    /// AE titles that this agent answers to.
    pub own: Vec<String>,
    /// The lines, and whose images they take.
    pub lines: Arc<LineBook>,
}

impl AccessControl for Access {
    fn check_access(
        &self,
        _: &str,
        calling: &str,
        called: &str,
        _: Option<&UserIdentity>,
    ) -> Result<(), AssociationRJServiceUserReason> {
        if !self.own.iter().any(|own| own == called) {
            tracing::warn!(calling, called, own = ?self.own, "refused: another AE title was called");
            return Err(AssociationRJServiceUserReason::CalledAETitleNotRecognized);
        }
        if !self.lines.takes(calling, called) {
            tracing::warn!(calling, called, "refused: no line has this sender among its sources");
            return Err(AssociationRJServiceUserReason::CallingAETitleNotRecognized);
        }
        Ok(())
    }
}

/// Serves an association to its end. `most`: bytes of an image.
pub async fn serve(
    socket: TcpStream,
    access: Access,
    receiver: &Receiver,
    most: usize,
    drain: CancellationToken,
) {
    let peer = socket.peer_addr().map(|address| address.to_string()).unwrap_or_default();
    let mut options = ServerAssociationOptions::new()
        .ae_access_control(access)
        .max_pdu_length(PDU_BYTES)
        .strict(true)
        .write_timeout(PROMPT)
        .with_abstract_syntax(uids::VERIFICATION);
    for class in CLASSES {
        options = options.with_abstract_syntax(class);
    }
    for syntax in SYNTAXES {
        options = options.with_transfer_syntax(syntax);
    }
    let association = match tokio::time::timeout(PROMPT, options.establish_async(socket)).await {
        Ok(Ok(association)) => association,
        Ok(Err(error)) => return tracing::info!(peer, %error, "no association"),
        Err(_) => return tracing::info!(peer, "no association was asked for in time"),
    };
    let origin = ImageOrigin {
        calling_ae: Some(association.peer_ae_title().trim().to_owned()),
        called_ae: Some(association.called_ae_title().trim().to_owned()),
        ..ImageOrigin::default()
    };
    tracing::info!(peer, calling = origin.calling_ae, called = origin.called_ae, "associated");
    let id = receiver.opened();
    let mut session = Session {
        association,
        id,
        receiver,
        origin,
        touched: HashSet::new(),
        inbox: Inbox::new(most),
        room: Room::default(),
    };
    let ended = tokio::select! {
        ended = session.run() => ended,
        () = drain.cancelled() => Err("the agent is leaving".to_owned()),
    };
    if let Err(why) = ended {
        for series in &session.touched {
            receiver.aborted(series, id);
        }
        tracing::warn!(peer, why, series = session.touched.len(), "an association broke");
        // A peer that is gone hears nothing of it.
        let _ = tokio::time::timeout(PROMPT, session.association.abort()).await;
    }
}

struct Session<'r> {
    association: AsyncServerAssociation<TcpStream>,
    id: AssociationId,
    receiver: &'r Receiver,
    origin: ImageOrigin,
    /// Series of which images came.
    touched: HashSet<String>,
    inbox: Inbox,
    /// For the data set in the inbox.
    room: Room,
}

impl Session<'_> {
    /// Until it is released; an error says why it was not.
    async fn run(&mut self) -> Result<(), String> {
        loop {
            let patience = if self.inbox.is_busy() { PROMPT } else { IDLE };
            let pdu = tokio::time::timeout(patience, self.receive()).await;
            match pdu.map_err(|_| format!("nothing came for {} s", patience.as_secs()))?? {
                Pdu::PData { data } => {
                    for piece in data {
                        let message = self.inbox.take(piece)?;
                        if let Some(message) = self.make_room(message).await {
                            self.answer(message).await?;
                            self.room = Room::default();
                        }
                    }
                }
                Pdu::ReleaseRQ => {
                    for series in &self.touched {
                        self.receiver.released(series, self.id).await;
                    }
                    return self.send(&Pdu::ReleaseRP).await;
                }
                Pdu::AbortRQ { .. } => return Err("the peer aborted it".into()),
                other => return Err(format!("unexpected {}", other.short_description())),
            }
        }
    }

    /// The next PDU. Senders with Nagle on (dcmtk's storescu, many scanners) write a PDU in pieces and would wait 40 ms for
    /// the delayed ACK of each. The kernel forgets the wish for quick ones, so it is told after every read; the library's
    /// own `receive` has no place for that.
    async fn receive(&mut self) -> Result<Pdu, String> {
        let (socket, buffer) = self.association.get_mut();
        loop {
            let mut rest = Cursor::new(&buffer[..]);
            if let Some(pdu) = read_pdu(&mut rest, PDU_BYTES, true).map_err(|error| error.to_string())? {
                let read = usize::try_from(rest.position()).map_err(|error| error.to_string())?;
                buffer.advance(read);
                return Ok(pdu);
            }
            if socket.read_buf(buffer).await.map_err(|error| error.to_string())? == 0 {
                return Err("the peer closed the connection".into());
            }
            #[cfg(target_os = "linux")]
            if let Err(error) = socket.set_quickack(true) {
                tracing::debug!(%error, "no quick ACK");
            }
        }
    }

    /// Takes the memory for what has arrived of a data set. While there is none the peer is not read.
    async fn make_room(&mut self, message: Option<Message>) -> Option<Message> {
        let held = match &message {
            Some(Message { data: Data::Whole(data), .. }) => data.capacity(),
            _ => self.inbox.held(),
        } as u64;
        if held <= self.room.bytes() {
            return message;
        }
        match (self.receiver.memory().arriving(held - self.room.bytes()).await, message) {
            (Ok(more), message) => {
                self.room.add(more);
                message
            }
            (Err(why), Some(message)) => Some(Message { data: Data::NoRoom(why), ..message }),
            (Err(why), None) => {
                self.inbox.give_up(why);
                self.room = Room::default();
                None
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Result<(), String> {
        let Message { context, command, data } = message;
        let status = match (command.operation, data) {
            (Operation::Echo, _) => Status::SUCCESS,
            (Operation::Cancel, _) => return Ok(()),
            (Operation::Other(field), _) => Status::unrecognized(field),
            (Operation::Store, Data::None) => Status::cannot_understand("no data set came with it"),
            (Operation::Store, Data::TooLarge(bytes)) => {
                Status::cannot_understand(format!("it has {bytes} bytes, more than this agent takes"))
            }
            (Operation::Store, Data::NoRoom(why)) => Status::out_of_resources(why),
            (Operation::Store, Data::Whole(data)) => {
                self.store(context, &command.class, &command.instance, &data).await?
            }
        };
        if status != Status::SUCCESS {
            tracing::warn!(
                instance = command.instance,
                code = format!("{:04X}", status.code),
                why = status.comment,
                "not done"
            );
        }
        let data = command.answer(&status);
        let value_type = PDataValueType::Command;
        let piece = PDataValue { presentation_context_id: context, value_type, is_last: true, data };
        self.send(&Pdu::PData { data: vec![piece] }).await
    }

    async fn store(
        &mut self,
        context: u8,
        class: &str,
        instance: &str,
        data: &[u8],
    ) -> Result<Status, String> {
        let agreed = self.association.presentation_contexts().iter().find(|agreed| agreed.id == context);
        let agreed = agreed.ok_or_else(|| format!("presentation context {context} was not negotiated"))?;
        if !CLASSES.contains(&class) {
            return Ok(Status::class_not_supported(class));
        }
        if agreed.abstract_syntax != class {
            return Ok(Status::mismatch("its SOP class is not that of its context"));
        }
        let is_uid = |b: u8| b.is_ascii_digit() || b == b'.';
        if !(1..=UID_BYTES).contains(&instance.len()) || !instance.bytes().all(is_uid) {
            return Ok(Status::invalid_instance());
        }
        let file = file(class, instance, &agreed.transfer_syntax, data);
        let (association, origin) = (Some(self.id), self.origin.clone());
        let incoming = Incoming { association, instance: instance.to_owned(), origin, file };
        let (status, series) = self.receiver.take(incoming).await;
        self.touched.extend(series);
        Ok(status)
    }

    async fn send(&mut self, pdu: &Pdu) -> Result<(), String> {
        self.association.send(pdu).await.map_err(|error| error.to_string())
    }
}
