//! Every view of the platform, one line each.

use crate::{
    analytics::visits::Visits,
    cms::{self, routes::Routes},
    crm::{self, activities::Activities, contact_source::ContactSource, engagements::Engagements, timeline::Timeline},
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

        fn record_sources() -> Vec<Arc<dyn SearchSource>> {
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

/// What search is fed from. Contacts are more than their records.
pub fn search_sources() -> Vec<Arc<dyn SearchSource>> {
    let contacts: Arc<dyn SearchSource> = Arc::new(ContactSource::default());
    let others = record_sources().into_iter().filter(|source| source.collection() != contacts.collection());
    others.chain([contacts.clone()]).collect()
}

/// All projections.
pub fn projections() -> Vec<Arc<dyn Projection>> {
    let others: [Arc<dyn Projection>; 8] = [
        Arc::new(Activities),
        Arc::new(Engagements),
        Arc::new(Routes),
        Arc::new(Timeline),
        Arc::new(Visits),
        Arc::new(Recipients),
        Arc::new(Responses),
        Arc::new(Feedback),
    ];
    record_projections().into_iter().chain(others).collect()
}
