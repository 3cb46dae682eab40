//! As much of CQL's wire protocol as shows whether a node takes writes: connect, log in, ask one question.
//!
//! A frame of version 4 is: version, flags, stream (2 bytes), opcode, length (4 bytes), body; all big-endian.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A node that runs answers in milliseconds; one that starts is asked again.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest answer that is read: ours are short.
const LONGEST: usize = 1 << 20;

const ERROR: u8 = 0x00;
const STARTUP: u8 = 0x01;
const READY: u8 = 0x02;
const AUTHENTICATE: u8 = 0x03;
const QUERY: u8 = 0x07;
const RESULT: u8 = 0x08;
const AUTH_RESPONSE: u8 = 0x0f;
const AUTH_SUCCESS: u8 = 0x10;

/// With this many replicas alive it can be answered at the level ALL: the keyspace has three of every row. A user who is
/// not logged in yet cannot ask anything.
const QUESTION: &str = "SELECT status FROM system_distributed.view_build_status WHERE keyspace_name = 'none' AND view_name = 'none'";
const ONE: u16 = 0x0001;
const ALL: u16 = 0x0005;

/// What a node must show before it counts as ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Required {
    /// It speaks TLS: then only its port can be looked at, which it opens last of all.
    pub tls: bool,
    /// Replicas that must be alive in its eyes.
    pub replicas: usize,
}

/// Asks the node at `address`. An error says why it does not take writes yet.
pub(super) fn ask(address: SocketAddr, required: Required) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    if required.tls {
        return Ok(());
    }
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let options = [&1u16.to_be_bytes()[..], &string("CQL_VERSION"), &string("3.0.0")].concat();
    match call(&mut stream, STARTUP, &options)? {
        (READY, _) => {}
        (AUTHENTICATE, _) => {
            let login = b"\0cassandra\0cassandra";
            let body = [&(login.len() as u32).to_be_bytes()[..], login].concat();
            match call(&mut stream, AUTH_RESPONSE, &body)? {
                (AUTH_SUCCESS, _) => {}
                other => return Err(unexpected(other)),
            }
        }
        other => return Err(unexpected(other)),
    }
    let level = if required.replicas >= 3 { ALL } else { ONE };
    let question = QUESTION.as_bytes();
    let body = [&(question.len() as u32).to_be_bytes()[..], question, &level.to_be_bytes(), &[0]].concat();
    match call(&mut stream, QUERY, &body)? {
        (RESULT, _) => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn call(stream: &mut TcpStream, opcode: u8, body: &[u8]) -> std::io::Result<(u8, Vec<u8>)> {
    let head = [&[0x04, 0, 0, 0, opcode][..], &(body.len() as u32).to_be_bytes()].concat();
    stream.write_all(&[head, body.to_vec()].concat())?;
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) as usize;
    if length > LONGEST {
        return Err(std::io::Error::other(format!("an answer of {length} bytes is none of CQL")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head[4], body))
}

/// An error is a code of 4 bytes and a text with its length.
fn unexpected((opcode, body): (u8, Vec<u8>)) -> std::io::Error {
    match (opcode, body.get(6..)) {
        (ERROR, Some(text)) => std::io::Error::other(String::from_utf8_lossy(text).into_owned()),
        _ => std::io::Error::other(format!("an answer of kind {opcode} that was not expected")),
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}
