//! Every view of the platform, one line each.

use crate::{
    crm, identity,
    projection::Projection,
    record_view::RecordProjection,
    search_lane::{RecordSource, SearchSource},
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

record_views![crm::contacts::Contacts, identity::accounts::Accounts, identity::api_keys::ApiKeys];

/// All projections.
pub fn projections() -> Vec<Arc<dyn Projection>> {
    record_projections()
}
