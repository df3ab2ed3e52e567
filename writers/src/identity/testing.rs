//! A tenant with one account, for the tests of signing in and of tokens.

use super::{
    account,
    authenticate::{authenticate_key, authenticate_session},
    password_hash::PasswordPool,
    sign_in::{Credentials, SignIn, SignInError, SignedIn},
};
use crate::{
    EventStore,
    backend::memory::MemoryStore,
    writer::{Meta, WriteError, Writer},
};
use bus_schema::{
    Cell, CommandId, Micros, TenantId,
    identity::{account::AccountPerson, role::Role, scope::Scopes},
    keys::KeyDirectory,
    time::Clock,
};
use uuid::Uuid;

pub(super) const EMAIL: &str = "ada@example.org";
pub(super) const PASSWORD: &str = "Tulip-3-bridge";

pub(super) struct World {
    pub(super) writer: Writer,
    pub(super) sign_in: SignIn,
    pub(super) tenant: TenantId,
    pub(super) log: MemoryStore,
    pub(super) ada: Uuid,
}

pub(super) fn meta() -> Meta {
    Meta::system("test", CommandId::random())
}

pub(super) fn person() -> AccountPerson {
    AccountPerson { email: "Ada@Example.org".into(), name: "Ada".into() }
}

impl World {
    pub(super) async fn new() -> Self {
        let (log, keys) = (MemoryStore::default(), KeyDirectory::in_memory());
        let tenant = TenantId::try_new("demo").unwrap();
        keys.create_tenant(&tenant).await.unwrap();
        let clock = Clock::manual(Micros(1_767_225_600_000_000));
        let writer = Writer::new(Cell::try_new("eu1").unwrap(), EventStore::Memory(log.clone()), keys, clock);
        let sign_in = SignIn::new(PasswordPool::default());
        let (person, roles) = (person(), [Role::Marketer]);
        let passwords = sign_in.passwords();
        let made = account::create(&writer, passwords, &tenant, &meta(), &person, PASSWORD, &roles).await;
        Self { ada: made.unwrap().0, writer, sign_in, tenant, log }
    }

    /// Another process on the same log, or this one after a restart.
    pub(super) fn another(&self) -> Self {
        let store = EventStore::Memory(self.log.clone());
        let (keys, clock) = (self.writer.keys().clone(), self.writer.clock().clone());
        Self {
            writer: Writer::new(self.writer.cell().clone(), store, keys, clock),
            sign_in: SignIn::new(PasswordPool::default()),
            tenant: self.tenant.clone(),
            log: self.log.clone(),
            ada: self.ada,
        }
    }

    pub(super) async fn try_sign_in(
        &self,
        email: &str,
        password: &str,
        network: Option<&str>,
    ) -> Result<SignedIn, SignInError> {
        let credentials = Credentials { email, password, network };
        self.sign_in.log_in(&self.writer, &self.tenant, credentials, &meta()).await
    }

    /// The code of a refused attempt and, when locked, the seconds until the window ends.
    pub(super) async fn refusal(&self, email: &str, password: &str, network: Option<&str>) -> (&'static str, i64) {
        match self.try_sign_in(email, password, network).await {
            Err(SignInError::Refused { rejected, retry_at }) => {
                let now = self.writer.clock().now();
                (rejected.code, retry_at.map_or(0, |until| (until.0 - now.0) / 1_000_000))
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// A session's token as the person gets it.
    pub(super) async fn token(&self) -> String {
        self.try_sign_in(EMAIL, PASSWORD, None).await.unwrap().token.expose()
    }

    pub(super) async fn session(&self, token: &str) -> Result<(Uuid, Scopes), &'static str> {
        authenticate_session(&self.writer, &self.tenant, token).await.map_err(code)
    }

    pub(super) async fn key(&self, token: &str) -> Result<(Uuid, Scopes), &'static str> {
        authenticate_key(&self.writer, &self.tenant, token).await.map_err(code)
    }

    pub(super) async fn account(&self, command: &account::AccountCommand) {
        self.writer.execute::<account::Account>(&self.tenant, self.ada, &meta(), command).await.unwrap();
    }

    /// How many events of a kind the log holds.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.log.events().iter().filter(|stored| stored.envelope.kind == kind).count()
    }
}

fn code(error: WriteError) -> &'static str {
    match error {
        WriteError::Rejected(rejected) => rejected.code,
        other => panic!("expected a rejection, got {other}"),
    }
}
