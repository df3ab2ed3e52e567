//! Every view of the platform, one line each.

use crate::{
    analytics::visits::Visits,
    cms::{self, routes::Routes},
    crm::{self, timeline::Timeline},
    identity, learning,
    mail::{self, feedback::Feedback, recipients::Recipients, responses::Responses},
    projection::Projection,
    record_view::RecordProjection,
    search_lane::{RecordSource, SearchSource},
    shop,
};
use std::sync::Arc;

macro_rules! record_views {
    ($($view:ty),+ $(,)?) => {
        fn record_projections() -> Vec<Arc<dyn Projection>> {
            vec![ $( Arc::new(RecordProjection::<$view>::default()) ),+ ]
        }

        /// What search is fed from.
        pub fn search_sources() -> Vec<Arc<dyn SearchSource>> {
            vec![ $( Arc::new(RecordSource::<$view>::default()) ),+ ]
        }
    };
}

record_views![
    cms::files::Files,
    cms::pages::Pages,
    crm::contacts::Contacts,
    crm::imports::Imports,
    crm::segments::Segments,
    identity::accounts::Accounts,
    identity::api_keys::ApiKeys,
    learning::courses::Courses,
    learning::enrolments::Enrolments,
    mail::campaigns::Campaigns,
    mail::messages::Messages,
    mail::suppressions::Suppressions,
    shop::fulfilments::Fulfilments,
    shop::orders::Orders,
    shop::products::Products,
];

/// All projections.
pub fn projections() -> Vec<Arc<dyn Projection>> {
    let others: [Arc<dyn Projection>; 6] = [
        Arc::new(Routes),
        Arc::new(Timeline),
        Arc::new(Visits),
        Arc::new(Recipients),
        Arc::new(Responses),
        Arc::new(Feedback),
    ];
    record_projections().into_iter().chain(others).collect()
}
