//! Three nats-servers with TLS and a password, on a loopback network of their own.

use super::Served;
use std::ops::Deref;

/// One cluster.
pub(crate) struct NatsCluster(Served);

impl Deref for NatsCluster {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

impl NatsCluster {
    pub(crate) fn serve() -> Self {
        Self(Served::serve("../ops/nats-cluster", &[]))
    }

    /// The settings of a process that uses it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.dir().join(name).display().to_string();
        vec![
            ("MILLRACE_NATS", self.said().to_owned()),
            ("MILLRACE_NATS_CREDENTIALS", file("credentials")),
            ("MILLRACE_NATS_CA", file("ca.pem")),
        ]
    }
}
