//! Logging in: PLAIN (RFC 4616), or LOGIN where only that is offered.

use super::{Connection, Credentials, Failure, Kind, Stage};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

pub(super) async fn log_in(connection: &mut Connection, credentials: &Credentials) -> Result<(), Failure> {
    let within = connection.options.timeouts.command;
    let (user, password) = (credentials.user(), credentials.password());
    let reply = if connection.capabilities.auth_plain {
        let secret = Zeroizing::new(format!("\0{user}\0{password}"));
        let word = Zeroizing::new(STANDARD.encode(secret.as_bytes()));
        let command = Zeroizing::new(format!("AUTH PLAIN {}\r\n", *word));
        connection.ask(Stage::Auth, command.as_bytes(), within).await?
    } else if connection.capabilities.auth_login {
        let mut reply = connection.ask(Stage::Auth, b"AUTH LOGIN\r\n", within).await?;
        for part in [user, password] {
            if reply.code != 334 {
                return Err(Failure::refused(Stage::Auth, reply));
            }
            let word = Zeroizing::new(STANDARD.encode(part));
            let line = Zeroizing::new(format!("{}\r\n", *word));
            reply = connection.ask(Stage::Auth, line.as_bytes(), within).await?;
        }
        reply
    } else {
        let detail = "credentials are set, and neither AUTH PLAIN nor AUTH LOGIN is offered";
        return Err(Failure::new(Stage::Auth, Kind::NotOffered, detail));
    };
    if reply.code == 235 { Ok(()) } else { Err(Failure::refused(Stage::Auth, reply)) }
}
