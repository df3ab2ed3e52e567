//! What every handler has at hand.

use crate::{
    catch_up::CatchUp,
    cms::files::desk::FileDesk,
    crm::imports::desk::ImportDesk,
    http::{idempotency::Running, metrics::Registry},
    mail::{
        desk::MailDesk,
        inbound::FeedbackDesk,
        message_desk::MessageDesk,
        providers::{self, ProviderDesk},
        responses::Responses,
    },
    platform::workers::{self, Workforce},
    protection::ProtectionDesk,
    quotas::{Limits, Quotas},
    replays::Replays,
};
use bus_schema::{Cell, TenantId, bus::Bus, keys::KeyDirectory, time::Clock};
use projectors::{Views, platform::board::Board, search_lane::Search};
use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};
use tokio::sync::Semaphore;
use writers::{Writer, facts::Facts, identity::sign_in::SignIn, shop::fulfilment::Patience};

/// Feeds that may follow the log at once; each holds a consumer at the server.
const FOLLOWERS: usize = 64;

/// The parts of a running platform that answer requests.
pub struct Parts {
    pub cell: Cell,
    pub bus: Bus,
    pub writer: Writer,
    pub facts: Facts,
    pub views: Views,
    pub search: Search,
    pub keys: KeyDirectory,
    pub clock: Clock,
    pub sign_in: SignIn,
    pub registry: Registry,
    pub imports: Arc<dyn ImportDesk>,
    pub files: Arc<dyn FileDesk>,
    /// Makes mails to one person out of templates.
    pub messages: Arc<dyn MessageDesk>,
    pub mail: Arc<dyn MailDesk>,
    /// Where the log is copied to.
    pub protection: Arc<dyn ProtectionDesk>,
    pub mail_providers: Arc<dyn ProviderDesk>,
    pub workforce: Arc<dyn Workforce>,
    pub board: Board,
    /// Why campaigns do not go out, for people; `None`: they do.
    pub mail_obstacle: Option<String>,
    pub feedback_desk: Arc<dyn FeedbackDesk>,
    /// How long a paid course line may take.
    pub fulfilment_patience: Patience,
}

/// What an installation may set.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub quotas: Quotas,
}

/// Shared state of the API. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

pub struct Shared {
    parts: Parts,
    pub running: Running,
    pub followers: Arc<Semaphore>,
    replays: Replays,
    catch_up: CatchUp,
    limits: Limits,
    operator: OnceLock<TenantId>,
    responses: OnceLock<Responses>,
}

impl App {
    pub fn new(parts: Parts) -> Self {
        Self::with_options(parts, Options::default())
    }

    pub fn with_options(parts: Parts, options: Options) -> Self {
        let (running, followers) = (Running::new(), Arc::new(Semaphore::new(FOLLOWERS)));
        let (workforce, board) = (parts.workforce.clone(), parts.board.clone());
        parts.registry.add_source(move |out| workers::render(&workforce.own(), board.alarms().len(), out));
        let (limits, operator) = (Limits::new(options.quotas), OnceLock::new());
        providers::measure(&parts.registry, parts.mail_providers.clone());
        let (replays, catch_up, responses) = (Replays::default(), CatchUp::default(), OnceLock::new());
        Self(Arc::new(Shared { parts, running, followers, replays, catch_up, limits, operator, responses }))
    }

    /// Names the tenant whose people operate this installation: in no other tenant does any scope, `*` included, allow
    /// what concerns all tenants (`platform.*`). Until it is named nobody may. Named once; later calls change nothing.
    pub fn operated_by(&self, tenant: TenantId) {
        _ = self.0.operator.set(tenant);
    }

    pub fn is_operated_by(&self, tenant: &TenantId) -> bool {
        self.0.operator.get() == Some(tenant)
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Takes the opens and clicks of mails; recording begins with the first.
    pub fn responses(&self) -> &Responses {
        self.0.responses.get_or_init(|| Responses::start(self))
    }

    /// Records what is held of opens and clicks. For an orderly stop.
    pub async fn flush(&self) {
        if let Some(responses) = self.0.responses.get() {
            responses.flush().await;
        }
    }

    pub fn running(&self) -> &Running {
        &self.0.running
    }

    pub(crate) fn catch_up(&self) -> &CatchUp {
        &self.0.catch_up
    }

    pub fn replays(&self) -> &Replays {
        &self.0.replays
    }

    pub fn followers(&self) -> Arc<Semaphore> {
        self.0.followers.clone()
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
