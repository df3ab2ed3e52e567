//! A cell of a server with a tenant, its keys and a writer.

use super::Server;
use bus_schema::{
    Cell, CommandId, TenantId,
    bus::{Bus, BusOptions, BusUser},
    crm::contact::ContactDetails,
    keys::{KeyDirectory, RootKey},
    time::Clock,
};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};
use uuid::Uuid;
use writers::{
    EventStore, Meta, Receipt, WriteError, Writer,
    backend::nats::{GroupOptions, NatsStore},
    crm::contact::{self, Contact, ContactCommand},
    writer::Loaded,
};

/// A cell nobody else has.
fn other_cell() -> Cell {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Cell::try_new(&format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))).expect("a short name")
}

pub(crate) struct World {
    pub(crate) options: BusOptions,
    pub(crate) bus: Bus,
    pub(crate) keys: KeyDirectory,
    pub(crate) tenant: TenantId,
    pub(crate) writer: Writer,
    secrets: tempfile::TempDir,
}

/// The command that makes a contact of this address.
pub(crate) fn named(email: &str) -> ContactCommand {
    let details = ContactDetails { email: email.into(), ..ContactDetails::default() };
    ContactCommand::Create { details, tags: vec![], import: None }
}

impl World {
    /// A folder of its own, which is there as long as this.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.secrets.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// A cell of its own on the shared server.
    pub(crate) async fn shared() -> Self {
        Self::on(Server::shared()).await
    }

    pub(crate) async fn on(server: &Server) -> Self {
        let options =
            BusOptions { url: server.url(), user: BusUser::Anyone, tls: None, cell: other_cell(), replicas: 1 };
        let bus = Bus::connect(options.clone()).await.expect("the server answers");
        bus.ensure_streams().await.expect("streams");
        let secrets = tempfile::tempdir().expect("a temporary folder");
        let keys = KeyDirectory::new(bus.clone(), root(&secrets));
        let tenant = TenantId::try_new("demo").expect("a name");
        keys.create_tenant(&tenant).await.expect("a tenant's key");
        let store = EventStore::Nats(NatsStore::new(bus.clone(), GroupOptions::default()));
        let writer = Writer::new(options.cell.clone(), store, keys.clone(), Clock::System);
        Self { options, bus, keys, tenant, writer, secrets }
    }

    pub(crate) fn cell(&self) -> &Cell {
        &self.options.cell
    }

    /// The directory as another process sees it: nothing in memory.
    pub(crate) async fn keys_elsewhere(&self) -> KeyDirectory {
        KeyDirectory::new(self.bus_elsewhere().await, root(&self.secrets))
    }

    /// The directory of another server with the same root key.
    pub(crate) fn keys_on(&self, bus: &Bus) -> KeyDirectory {
        KeyDirectory::new(bus.clone(), root(&self.secrets))
    }

    pub(crate) async fn bus_elsewhere(&self) -> Bus {
        Bus::connect(self.options.clone()).await.expect("the server answers")
    }

    /// A writer of another process.
    pub(crate) async fn writer_elsewhere(&self) -> Writer {
        let bus = self.bus_elsewhere().await;
        let store = EventStore::Nats(NatsStore::new(bus, GroupOptions::default()));
        Writer::new(self.cell().clone(), store, self.keys_elsewhere().await, Clock::System)
    }

    pub(crate) async fn create(&self, email: &str) -> (Uuid, u64) {
        let (id, receipt) = self.create_as(CommandId::random(), email).await.expect("created");
        (id, receipt.position)
    }

    pub(crate) async fn create_as(
        &self,
        command: CommandId,
        email: &str,
    ) -> Result<(Uuid, Receipt<Loaded<Contact>>), WriteError> {
        let meta = Meta { content: Some(email.into()), ..Meta::system("test", command) };
        contact::create(&self.writer, &self.tenant, &meta, &named(email), email).await
    }

    /// One command to a contact; its position.
    pub(crate) async fn tell(&self, id: Uuid, command: ContactCommand) -> u64 {
        let meta = Meta::system("test", CommandId::random());
        self.writer.execute::<Contact>(&self.tenant, id, &meta, &command).await.expect("accepted").position
    }

    pub(crate) async fn tag(&self, id: Uuid, tag: &str) -> u64 {
        self.tell(id, ContactCommand::Tag { tag: tag.into() }).await
    }

    pub(crate) async fn rename(&self, id: Uuid, first_name: &str) -> u64 {
        let meta = Meta::system("test", CommandId::random());
        let edit = |details| ContactDetails { first_name: Some(first_name.into()), ..details };
        contact::change(&self.writer, &self.tenant, id, &meta, None, edit).await.expect("changed").position
    }

    pub(crate) async fn erase(&self, id: Uuid) -> u64 {
        let meta = Meta::system("test", CommandId::random());
        contact::erase(&self.writer, &self.tenant, id, &meta).await.expect("erased").position
    }
}

fn root(secrets: &tempfile::TempDir) -> RootKey {
    RootKey::from_file(&secrets.path().join("root.key")).expect("a root key")
}
