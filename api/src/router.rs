//! All endpoints together, and their description.

use crate::{
    admin, analytics,
    app::App,
    cms::{self, files::FileResource, pages::PageResource},
    crm::{self, contacts::ContactResource, imports::ImportResource, segments::SegmentResource},
    describe,
    docs::{self, ProblemCatalog, Rule},
    errors::code_of,
    feed, health,
    http::ratelimit,
    identity::{self, accounts::AccountResource, api_keys::ApiKeyResource},
    learning::{self, courses::CourseResource, enrolments::EnrolmentResource},
    mail::{self, campaigns::CampaignResource, messages::MessageResource, suppressions::SuppressionResource},
    platform, protection,
    replays::{self, Replayable},
    resource,
    search::{self, Findable},
    shop::{self, fulfilments::FulfilmentResource, orders::OrderResource, products::ProductResource},
    subscribe,
};
use axum::{Router, middleware};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use writers::rejection_catalog;

/// One line per collection: its reads and its place in search.
macro_rules! resources {
    ($($resource:ty),+ $(,)?) => {
        fn reads() -> Vec<OpenApiRouter<App>> {
            vec![ $( resource::routes::<$resource>() ),+ ]
        }

        fn findable() -> Vec<Findable> {
            vec![ $( Findable::of::<$resource>() ),+ ]
        }

        fn replayable() -> Vec<Replayable> {
            vec![ $( Replayable::of::<$resource>() ),+ ]
        }
    };
}

resources![
    AccountResource,
    ApiKeyResource,
    CampaignResource,
    MessageResource,
    CourseResource,
    EnrolmentResource,
    FileResource,
    ContactResource,
    FulfilmentResource,
    ImportResource,
    OrderResource,
    PageResource,
    ProductResource,
    SegmentResource,
    SuppressionResource,
];

/// The command endpoints with their descriptions.
fn commands() -> Vec<OpenApiRouter<App>> {
    vec![
        analytics::visits::routes(),
        cms::files::routes(),
        cms::pages::routes(),
        crm::activity::routes(),
        crm::contacts::routes(),
        crm::imports::routes(),
        crm::segments::routes(),
        crm::subscription_form::routes(),
        crm::timeline::routes(),
        learning::courses::routes(),
        learning::enrolments::routes(),
        mail::authoring::routes(),
        mail::campaigns::routes(),
        mail::messages::routes(),
        mail::settings::routes(),
        mail::templates::routes(),
        mail::inbound::routes(),
        mail::preferences::routes(),
        mail::links::routes(),
        mail::recipients::routes(),
        mail::attempts::routes(),
        mail::retries::routes(),
        mail::report::routes(),
        mail::sns::routes(),
        mail::suppressions::routes(),
        mail::unsubscribe::routes(),
        identity::password_resets::routes(),
        identity::sessions::routes(),
        identity::me::routes(),
        identity::accounts::routes(),
        identity::api_keys::routes(),
        identity::tenant::routes(),
        shop::fulfilments::routes(),
        shop::orders::routes(),
        shop::products::routes(),
        platform::alarms::routes(),
        platform::parked_items::routes(),
        platform::workers::routes(),
        replays::routes(replayable()),
        subscribe::routes(),
    ]
}

/// Every route with its description, by group.
pub(crate) fn all_routes() -> Vec<OpenApiRouter<App>> {
    let others = [search::routes(findable()), feed::routes(), admin::routes(), protection::routes(), health::routes()];
    commands().into_iter().chain(reads()).chain(others).collect()
}

fn described() -> (Router<App>, OpenApi) {
    let (router, mut openapi) =
        all_routes().into_iter().fold(OpenApiRouter::new(), OpenApiRouter::merge).split_for_parts();
    describe::complete(&mut openapi);
    (router, openapi)
}

/// The description of the whole API.
pub fn openapi() -> OpenApi {
    described().1
}

/// Every code an answer can carry.
pub fn problems() -> ProblemCatalog {
    let rule = |spec: &writers::rejection::RejectionSpec| Rule::new(spec.code, code_of(spec.class), spec.message);
    ProblemCatalog::new().with_rules(rejection_catalog::all().map(rule))
}

/// Every route, ready to be served.
pub fn router(app: App) -> Router {
    let (routes, openapi) = described();
    routes.with_state(app).layer(middleware::from_fn(ratelimit::report)).merge(docs::router(&openapi, &problems()))
}
