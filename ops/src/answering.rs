//! What answers requests: the API's parts, put together.

use crate::{
    base::Base,
    feedback_desk,
    file_desk::{self, FileArgs},
    import_desk::Desk,
    mail::ProviderBoard,
    mail_desk::PreparedMail,
    message_desk,
    platform::StartError,
    process_args::ProcessArgs,
    storage::Storage,
};
use api::{
    App,
    app::Parts,
    http::{limits::ServerLimits, metrics::Registry, security_headers::SecurityHeaders, server::Server, stack::Stack},
    platform::workers::Workforce,
    protection::ProtectionDesk,
};
use projectors::{Views, search_lane::Search};
use std::sync::Arc;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use workers::mail::{
    campaign::{self, Outlet},
    feedback::Feedback,
};
use writers::identity::sign_in::SignIn;

pub struct Answering<'a> {
    pub base: Base,
    pub views: Views,
    pub search: Search,
    pub storage: &'a Storage,
    /// As the workers have it.
    pub outlet: Option<Outlet>,
    pub limits: FileArgs,
    pub processes: ProcessArgs,
    pub workforce: Arc<dyn Workforce>,
    pub protection: Arc<dyn ProtectionDesk>,
    pub feedback_desk: Arc<feedback_desk::Desk>,
}

/// The reader of what comes back about mails.
pub fn feedback(base: &Base, views: &Views) -> Arc<feedback_desk::Desk> {
    let feedback = Feedback::new(base.bus.clone(), base.writer.clone(), views.clone());
    Arc::new(feedback_desk::Desk::new(feedback))
}

pub fn app(parts: Answering<'_>) -> App {
    let Answering { base, views, search, storage, outlet, limits, processes, workforce, protection, feedback_desk } =
        parts;
    let Base { cell, bus, keys, clock, writer, facts, board } = base;
    let app = App::new(Parts {
        cell,
        bus,
        writer,
        facts,
        views,
        search,
        keys,
        clock,
        sign_in: SignIn::default(),
        registry: Registry::new(),
        imports: Arc::new(Desk::new(storage.uploads.clone(), storage.imports.clone())),
        files: Arc::new(file_desk::Desk::new(storage.files.clone(), limits)),
        messages: Arc::new(message_desk::Desk::new(outlet.clone())),
        mail: Arc::new(PreparedMail::new(outlet.clone())),
        protection,
        mail_providers: Arc::new(ProviderBoard(outlet.as_ref().map(|outlet| outlet.providers().clone()))),
        workforce,
        board,
        mail_obstacle: outlet.is_none().then(|| campaign::NO_OUTLET.to_owned()),
        feedback_desk,
        fulfilment_patience: processes.fulfilment(),
    });
    let (desk, region) = (app.protection.clone(), app.cell.to_string());
    app.registry.add_source(move |out| desk.status().render(&region, out));
    app
}

/// Takes a port before anything else: a used one is the commonest mistake and the cheapest to find.
pub async fn listen(address: std::net::SocketAddr) -> Result<(TcpListener, std::net::SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until it is told to stop.
pub fn serve(app: &App, listener: TcpListener, stop: CancellationToken) -> JoinHandle<()> {
    let (limits, registry) = (ServerLimits::default(), app.registry.clone());
    let stack = Stack::new(&registry, limits.max_concurrent_requests, SecurityHeaders { https_only: false });
    let router = stack.wrap_with(api::router(app.clone()), api::site::serve::layer(app));
    let server = Server::new(limits, &registry);
    let app = app.clone();
    // A log that does not answer now must not keep requests waiting: readiness asks again.
    tokio::spawn(async move { app.starts_now().await });
    tokio::spawn(async move { _ = server.serve(listener, router, stop).await })
}
