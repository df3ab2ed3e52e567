//! A client that costs next to nothing: HTTP/1.1 over one kept connection, requests made beforehand. It shares the
//! processors with what it measures.

use crate::AnyError;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The answer to one request, in the connection's buffer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    head: &'a str,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The body, if the status is the expected one.
    pub(crate) fn expect(&self, status: u16) -> Result<&[u8], AnyError> {
        if self.status == status {
            return Ok(self.body);
        }
        Err(format!("{} instead of {status}: {}", self.status, String::from_utf8_lossy(self.body)).into())
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, AnyError> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await?;
        };
        let length = {
            let head = std::str::from_utf8(&self.buffer[..end])?;
            match header(head, "content-length") {
                Some(text) => text.parse::<usize>()?,
                None if head.starts_with("HTTP/1.1 204") || head.starts_with("HTTP/1.1 304") => 0,
                None => return Err("an answer without Content-Length".into()),
            }
        };
        while self.buffer.len() < end + length {
            self.read().await?;
        }
        let (head, body) = self.buffer.split_at(end);
        let head = std::str::from_utf8(head)?;
        let status = head.get(9..12).and_then(|text| text.parse().ok()).ok_or("no status line")?;
        Ok(Answer { status, head, body: &body[..length] })
    }

    async fn read(&mut self) -> Result<(), AnyError> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
