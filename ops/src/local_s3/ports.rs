//! The ports of one S3 server, all on loopback. The next start takes the same ones again where it can, so that an address
//! once printed stays right.

use serde::{Deserialize, Serialize};
use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

/// Its flags that take a port, in the order of [`Ports`]. Without them it would listen on fixed ones.
const FLAGS: [&str; 8] = [
    "-master.port",
    "-master.port.grpc",
    "-volume.port",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
    "-s3.port",
    "-s3.port.grpc",
];
/// Which of them speaks S3.
const S3: usize = 6;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ports([u16; FLAGS.len()]);

impl Ports {
    /// The preferred ones when all of them are free, or any free ones.
    pub(super) fn choose(preferred: Option<&Self>) -> io::Result<Self> {
        if let Some(ports) = preferred.filter(|ports| listen(ports.0).is_ok()) {
            return Ok(ports.clone());
        }
        // Several servers start at once, and what one was given is free until it listens.
        static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        // Held until the last is found, so that they differ.
        let mut held: Vec<TcpListener> = Vec::new();
        let mut ports = [0; FLAGS.len()];
        for port in &mut ports {
            while *port == 0 || given.contains(port) {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                *port = listener.local_addr()?.port();
                held.push(listener);
            }
        }
        given.extend(ports);
        Ok(Self(ports))
    }

    pub(super) fn s3(&self) -> u16 {
        self.0[S3]
    }

    pub(super) fn flags(&self) -> impl Iterator<Item = String> {
        FLAGS.iter().zip(self.0).map(|(flag, port)| format!("{flag}={port}"))
    }
}

fn listen(ports: [u16; FLAGS.len()]) -> io::Result<Vec<TcpListener>> {
    ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ports_differ_and_are_kept_while_they_are_free() {
        let ports = Ports::choose(None).unwrap();
        assert_eq!(ports.0.iter().collect::<HashSet<_>>().len(), FLAGS.len());
        assert_eq!(Ports::choose(Some(&ports)).unwrap(), ports);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.s3())).unwrap();
        assert_ne!(Ports::choose(Some(&ports)).unwrap(), ports);
        assert!(ports.flags().any(|flag| flag == format!("-s3.port={}", ports.s3())));
    }
}
