//! Segments that archivers of several providers have in common: made once, put by each.

use super::ship::End;
use crate::archive::segment::Written;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// Segments that are kept for the archivers that come to them a little later, of all streams.
const KEPT: usize = 6;

/// With the key and the cell, which all who share have in common, this decides a segment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) stream: String,
    pub(super) epoch: u32,
    pub(super) first: u64,
    pub(super) last: u64,
}

type Slot = Arc<OnceCell<Arc<Written>>>;

/// Shared by the archivers of one cell, whatever provider they write to. They have the same key. Cheap to clone.
#[derive(Clone, Default)]
pub struct SharedSegments(Arc<Mutex<VecDeque<(Extent, Slot)>>>);

impl SharedSegments {
    /// The segment of this extent, made by whoever comes first.
    pub(super) async fn get(
        &self,
        extent: Extent,
        make: impl Future<Output = Result<Written, End>>,
    ) -> Result<Arc<Written>, End> {
        let slot = self.slot(extent);
        slot.get_or_try_init(|| async { make.await.map(Arc::new) }).await.cloned()
    }

    fn slot(&self, extent: Extent) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(known, _)| *known == extent) {
            return slot.clone();
        }
        if slots.len() == KEPT {
            slots.pop_front();
        }
        let slot = Slot::default();
        slots.push_back((extent, slot.clone()));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{
        ArchiveKey, Place,
        record::sample,
        segment::{self, Unwritable},
    };
    use bus_schema::{Cell, subject::Family};

    #[tokio::test]
    async fn a_segment_is_made_once_and_kept_for_a_while() {
        let key = ArchiveKey::from_secret(&[1; 32]);
        let place = Place::new(&Cell::try_new("eu1").unwrap(), Family::Events);
        let make = |first: u64| {
            let written = segment::write(&key, &place, 1, &[sample(first, "demo", b"a")]);
            async { written.map_err(|_: Unwritable| End::Stopped) }
        };
        let of = |epoch, at| Extent { stream: place.stream().to_owned(), epoch, first: at, last: at };
        let shared = SharedSegments::default();
        let one = shared.get(of(1, 1), make(1)).await.unwrap();
        let again = shared.clone().get(of(1, 1), async { panic!("made twice") }).await.unwrap();
        assert!(Arc::ptr_eq(&one, &again));
        // One that failed is made by the next.
        assert!(shared.get(of(1, 2), async { Err(End::Killed) }).await.is_err());
        assert_eq!(shared.get(of(1, 2), make(2)).await.unwrap().summary.first, 2);
        let other = shared.get(of(2, 1), make(1)).await.unwrap();
        assert!(!Arc::ptr_eq(&one, &other), "of another epoch");
        for first in 3..3 + KEPT as u64 {
            shared.get(of(1, first), make(first)).await.unwrap();
        }
        assert!(!Arc::ptr_eq(&one, &shared.get(of(1, 1), make(1)).await.unwrap()));
    }
}
