//! All endpoints together, and their description.

use crate::{
    admin, analytics,
    app::App,
    cms::{self, pages::PageResource},
    crm::{self, contacts::ContactResource, imports::ImportResource},
    describe,
    docs::{self, ProblemCatalog},
    feed, health,
    learning::{self, courses::CourseResource, enrolments::EnrolmentResource},
    mail::{self, campaigns::CampaignResource},
    replays::{self, Replayable},
    resource,
    search::{self, Findable},
    shop::{self, orders::OrderResource, products::ProductResource},
};
use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// One line per collection: its reads, its place in search and in the description.
macro_rules! resources {
    ($($resource:ty),+ $(,)?) => {
        fn reads() -> Router<App> {
            Router::new() $( .merge(resource::routes::<$resource>()) )+
        }

        fn findable() -> Vec<Findable> {
            vec![ $( Findable::of::<$resource>() ),+ ]
        }

        fn replayable() -> Vec<Replayable> {
            vec![ $( Replayable::of::<$resource>() ),+ ]
        }

        fn describe_reads(openapi: &mut OpenApi) {
            $( describe::resource::<$resource>(openapi); )+
        }
    };
}

resources![
    CampaignResource,
    ContactResource,
    CourseResource,
    EnrolmentResource,
    ImportResource,
    OrderResource,
    PageResource,
    ProductResource,
];

/// The command endpoints with their descriptions.
fn commands() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(analytics::visits::routes())
        .merge(cms::pages::routes())
        .merge(crm::contacts::routes())
        .merge(crm::imports::routes())
        .merge(crm::timeline::routes())
        .merge(learning::courses::routes())
        .merge(learning::enrolments::routes())
        .merge(mail::campaigns::routes())
        .merge(shop::orders::routes())
        .merge(shop::products::routes())
        .merge(replays::commands())
}

/// The description of the whole API.
pub fn openapi() -> OpenApi {
    let (_, mut openapi) = commands().split_for_parts();
    describe::document(&mut openapi);
    describe_reads(&mut openapi);
    openapi
}

/// Every route, ready to be served.
pub fn router(app: App) -> Router {
    let (commands, _) = commands().split_for_parts();
    let docs = docs::router(&openapi(), &ProblemCatalog::new());
    Router::new()
        .merge(commands)
        .merge(reads())
        .merge(search::routes(findable()))
        .merge(replays::routes(replayable()))
        .merge(feed::routes())
        .merge(admin::routes())
        .merge(health::routes())
        .with_state(app.clone())
        .merge(docs)
        .merge(app.registry.router())
}
