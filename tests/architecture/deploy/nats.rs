//! nats-server itself reads the files it is given here.

use super::{FOLDER, kubernetes};
use crate::support::{nats_server, pem};
use std::{
    path::Path,
    process::{Command, Output},
};

/// Where the files name secrets, and what lies there.
const SECRETS: [(&str, &str); 6] = [
    ("/run/secrets/nats_certificate", "certificate.pem"),
    ("/run/secrets/nats_key", "key.pem"),
    ("/run/secrets/nats/tls.crt", "certificate.pem"),
    ("/run/secrets/nats/tls.key", "key.pem"),
    ("/run/secrets/nats/ca.crt", "certificate.pem"),
    ("/run/secrets/ca", "certificate.pem"),
];

#[test]
fn the_servers_of_the_log_take_their_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let own = rcgen::generate_simple_self_signed(["nats-1".to_owned()]).expect("a certificate");
    std::fs::write(dir.path().join("certificate.pem"), pem("CERTIFICATE", own.cert.der())).expect("a file");
    std::fs::write(dir.path().join("key.pem"), pem("PRIVATE KEY", &own.signing_key.serialize_der())).expect("a file");
    let of_compose = std::fs::read_to_string(Path::new(FOLDER).join("nats/nats.conf")).expect("a file");
    let all = kubernetes();
    let data = all.iter().find_map(|one| one["data"]["nats.conf"].as_str()).expect("a ConfigMap");
    for (name, text) in [("compose", of_compose.as_str()), ("kubernetes", data)] {
        let taken = check(dir.path(), text);
        assert!(taken.status.success(), "{name}: {}", String::from_utf8_lossy(&taken.stderr));
        let wrong = text.replace("sync_interval", "sync_intervall");
        assert!(wrong != text && !check(dir.path(), &wrong).status.success(), "{name}: a misspelt word is refused");
    }
}

/// Lets nats-server read a file and say what it thinks of it.
fn check(dir: &Path, text: &str) -> Output {
    let place = |text: String, (path, file): &(&str, &str)| text.replace(path, &dir.join(file).display().to_string());
    let text = SECRETS.iter().fold(text.to_owned(), place);
    assert!(!text.contains("/run/secrets"), "a secret that this test does not know:\n{text}");
    let path = dir.join("nats.conf");
    std::fs::write(&path, text).expect("a file");
    let variables = [("SERVER_NAME", "nats-1"), ("NATS_USER", "millrace"), ("NATS_PASSWORD", "aPassword7")];
    Command::new(nats_server()).arg("-t").arg("-c").arg(path).envs(variables).output().expect("nats-server runs")
}
