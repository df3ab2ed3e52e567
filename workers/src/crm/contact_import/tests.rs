//! Whole imports against a log in memory.

mod imports;
mod undoing;

use super::{
    checkpoint::{Checkpoint, Next, ProgressError, Summary},
    csv_source::{CsvOptions, CsvRows, CsvSource},
    engine::{self, Duplicates, Options},
    mapping::Mapping,
    report::{MAX_PAGE, Outcome, ReportRow, ReportWriter, read_page},
    undo::{InUse, UndoOptions, undo},
};
use bus_schema::{Actor, Cell, CommandId, TenantId, crm::contact::ContactDetails, keys::KeyDirectory, time::Clock};
use std::{io::Cursor, path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;
use writers::{
    EventStore, Meta, Writer,
    backend::memory::MemoryStore,
    crm::contact::{self, Contact, ContactCommand},
};

const IMPORT: Uuid = Uuid::from_u128(0x1000);

struct World {
    writer: Writer,
    tenant: TenantId,
    log: MemoryStore,
    folder: TempDir,
}

async fn world() -> World {
    let (log, keys) = (MemoryStore::default(), KeyDirectory::in_memory());
    let tenant = TenantId::try_new("demo").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    let writer = Writer::new(Cell::try_new("eu1").unwrap(), EventStore::Memory(log.clone()), keys, Clock::System);
    World { writer, tenant, log, folder: tempfile::tempdir().unwrap() }
}

fn options(duplicates: Duplicates) -> Options {
    Options::new(IMPORT, Actor::Account(Uuid::from_u128(7)), duplicates)
}

/// Every checkpoint, and a stop after as many as asked.
type Checkpoints = Arc<Mutex<Vec<Checkpoint>>>;

fn keeper(
    kept: Checkpoints,
    stop_after: usize,
) -> impl FnMut(Checkpoint) -> futures::future::BoxFuture<'static, Result<Next, ProgressError>> + Send {
    move |checkpoint| {
        let kept = kept.clone();
        Box::pin(async move {
            let mut kept = kept.lock().await;
            kept.push(checkpoint);
            Ok(if kept.len() >= stop_after { Next::Stop } else { Next::GoOn })
        })
    }
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn import(&self, text: &str, options: &Options) -> Summary {
        self.import_from(text, options, Checkpoint::default(), usize::MAX).await.0
    }

    async fn import_from(
        &self,
        text: &str,
        options: &Options,
        from: Checkpoint,
        stop_after: usize,
    ) -> (Summary, Vec<Checkpoint>) {
        let source = CsvSource::open(Cursor::new(text.to_owned().into_bytes()), CsvOptions::default()).unwrap();
        let mapping = Mapping::try_new(source.headings(), None).unwrap();
        let rows = CsvRows::new(source.resume(from.position).unwrap(), mapping);
        let report = ReportWriter::open(&self.path("import"), from.report).await.unwrap();
        let kept = Checkpoints::default();
        let (writer, tenant, options) = (self.writer.clone(), self.tenant.clone(), options.clone());
        let mut progress = keeper(kept.clone(), stop_after);
        // On a task of its own: callers need the future to be `Send`.
        let summary = tokio::spawn(async move {
            engine::run(&writer, &tenant, &options, rows, report, from, &mut progress).await.unwrap()
        });
        (summary.await.unwrap(), kept.lock().await.clone())
    }

    async fn undo(&self) -> Summary {
        self.undo_from(Checkpoint::default(), usize::MAX, Needed(None)).await
    }

    async fn undo_from(&self, from: Checkpoint, stop_after: usize, needed: Needed) -> Summary {
        let report = ReportWriter::open(&self.path("undo"), from.report).await.unwrap();
        let (writer, tenant, imported) = (self.writer.clone(), self.tenant.clone(), self.path("import"));
        let mut progress = keeper(Checkpoints::default(), stop_after);
        let options = UndoOptions { every: 50, ..UndoOptions::new(IMPORT, Actor::Account(Uuid::from_u128(7))) };
        let summary = tokio::spawn(async move {
            undo(&writer, &tenant, &options, &imported, report, from, &needed, &mut progress).await.unwrap()
        });
        summary.await.unwrap()
    }

    async fn report(&self, name: &str) -> Vec<ReportRow> {
        let (mut rows, mut offset) = (Vec::new(), Some(0));
        while let Some(from) = offset {
            let page = read_page(&self.path(name), from, MAX_PAGE, None).await.unwrap();
            rows.extend(page.rows);
            offset = page.next;
        }
        rows
    }

    async fn outcomes(&self, name: &str) -> Vec<Outcome> {
        self.report(name).await.into_iter().map(|row| row.outcome).collect()
    }

    async fn create(&self, details: ContactDetails) -> Uuid {
        let meta = Meta::system("test", CommandId::random());
        let email = details.email.clone();
        let command = ContactCommand::Create { details, tags: vec!["old".into()], import: None };
        contact::create(&self.writer, &self.tenant, &meta, &command, &email).await.unwrap().0
    }

    async fn change(&self, id: Uuid, edit: impl Fn(ContactDetails) -> ContactDetails + Send + Sync) {
        let meta = Meta::system("test", CommandId::random());
        contact::change(&self.writer, &self.tenant, id, &meta, None, edit).await.unwrap();
    }

    /// Who has an address now.
    async fn holder(&self, email: &str) -> Option<Uuid> {
        let home = contact::home(&self.writer, &self.tenant, email).await.unwrap();
        self.contact(home).await.holder(home)
    }

    async fn contact(&self, id: Uuid) -> Contact {
        self.writer.load::<Contact>(&self.tenant, id).await.unwrap().state.clone()
    }

    async fn details(&self, id: Uuid) -> ContactDetails {
        let contact = self.contact(id).await;
        let sealed = contact.details().expect("a living contact");
        let keys = self.writer.keys().load(&self.tenant, &[sealed.key()]).await.unwrap();
        sealed.open(&keys).unwrap().known().expect("its key exists")
    }

    async fn tags(&self, id: Uuid) -> Vec<String> {
        self.contact(id).await.tags().map(str::to_owned).collect()
    }
}

fn ada() -> ContactDetails {
    ContactDetails { email: "Ada@X.org".into(), first_name: Some("Ada".into()), ..ContactDetails::default() }
}

/// Says of one contact that something hangs on it.
struct Needed(Option<Uuid>);

impl InUse for Needed {
    async fn in_use(&self, contact: Uuid) -> Result<Option<String>, writers::WriteError> {
        Ok((self.0 == Some(contact)).then(|| "has an order".to_owned()))
    }
}

/// A file of `rows` contacts.
fn many(rows: usize) -> String {
    let row = |n: usize| format!("p{n}@x.org,Name {n},\"a;b\"\n");
    format!("email,last name,tags\n{}", (1..=rows).map(row).collect::<String>())
}
