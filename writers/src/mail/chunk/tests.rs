use super::*;
use crate::harness::{NOW, given};
use bus_schema::mail::chunk::Proof;

const CAMPAIGN: Uuid = Uuid::from_u128(0xca);
const LEASE: i64 = 60;

fn plan() -> Plan {
    Plan {
        place: ChunkPlace { campaign: CAMPAIGN, number: 3 },
        recipients: (1..=4).map(Uuid::from_u128).collect(),
        class: ConsentPurpose::Marketing,
        content_hash: "ab".into(),
        generation: 0,
    }
}

fn planned() -> ChunkEvent {
    let Plan { place, recipients, class, content_hash, generation } = plan();
    let ChunkPlace { campaign, number } = place;
    ChunkPlanned { campaign, number, recipients, class, content_hash, generation }.into()
}

fn claimed(worker: &str, epoch: u32, lease_until: Micros) -> ChunkEvent {
    ChunkClaimed { campaign: CAMPAIGN, number: 3, worker: worker.into(), epoch, lease_until }.into()
}

fn attempting(epoch: u32, indexes: &[u16], again: u16) -> ChunkEvent {
    let (indexes, lease_until) = (indexes.to_vec(), NOW.plus_seconds(LEASE));
    WindowAttempting { campaign: CAMPAIGN, number: 3, epoch, indexes, again, lease_until }.into()
}

fn outcomes(fates: &[(u16, Fate)]) -> Vec<Outcome> {
    let outcome = |(index, fate): &(u16, Fate)| Outcome::new(*index, *fate);
    fates.iter().map(outcome).collect()
}

fn outcome(epoch: u32, fates: &[(u16, Fate)]) -> ChunkEvent {
    WindowOutcome { campaign: CAMPAIGN, number: 3, epoch, outcomes: outcomes(fates) }.into()
}

fn done(epoch: u32) -> ChunkEvent {
    ChunkDone { campaign: CAMPAIGN, number: 3, epoch }.into()
}

fn owned() -> Vec<ChunkEvent> {
    vec![planned(), claimed("one", 1, NOW.plus_seconds(LEASE))]
}

fn with(mut events: Vec<ChunkEvent>, more: impl IntoIterator<Item = ChunkEvent>) -> Vec<ChunkEvent> {
    events.extend(more);
    events
}

fn claim(worker: &str) -> ChunkCommand {
    ChunkCommand::Claim { worker: worker.into(), lease_seconds: LEASE }
}

fn attempt(epoch: u32, indexes: &[u16]) -> ChunkCommand {
    ChunkCommand::Attempt { epoch, indexes: indexes.to_vec(), lease_seconds: LEASE }
}

fn record(epoch: u32, fates: &[(u16, Fate)]) -> ChunkCommand {
    ChunkCommand::Record { epoch, outcomes: outcomes(fates) }
}

#[test]
fn a_chunk_is_planned_once() {
    given::<Chunk>([]).when(ChunkCommand::Plan(plan())).then([planned()]);
    given::<Chunk>([planned()]).when(ChunkCommand::Plan(plan())).then([]);
    let other = Plan { recipients: vec![Uuid::from_u128(9)], ..plan() };
    given::<Chunk>([planned()]).when(ChunkCommand::Plan(other)).then_rejected(ChunkRejection::Exists);
    for recipients in [
        vec![],
        vec![Uuid::from_u128(2), Uuid::from_u128(1)],
        vec![Uuid::from_u128(1); 2],
        (0..=MAX_RECIPIENTS as u128).map(Uuid::from_u128).collect(),
    ] {
        let bad = ChunkCommand::Plan(Plan { recipients, ..plan() });
        given::<Chunk>([]).when(bad).then_rejected(ChunkRejection::BadPlan);
    }
    given::<Chunk>([]).when(claim("one")).then_rejected(ChunkRejection::Unknown);
}

#[test]
fn another_worker_waits_for_the_end_of_the_lease_and_for_the_clocks() {
    let until = NOW.plus_seconds(LEASE);
    given::<Chunk>([planned()]).repeatable().when(claim("one")).then([claimed("one", 1, until)]);
    let leased = ChunkRejection::Leased { worker: "one".into() };
    given::<Chunk>(owned()).when(claim("two")).then_rejected(leased.clone());
    let just_over = vec![planned(), claimed("one", 1, NOW.plus_seconds(1 - SKEW))];
    given::<Chunk>(just_over).when(claim("two")).then_rejected(leased);
    let over = vec![planned(), claimed("one", 4, NOW.plus_seconds(-SKEW))];
    given::<Chunk>(over).repeatable().when(claim("two")).then([claimed("two", 5, until)]);
    for lease_seconds in [0, -1, MAX_LEASE + 1] {
        let bad = ChunkCommand::Claim { worker: "one".into(), lease_seconds };
        given::<Chunk>([planned()]).when(bad).then_rejected(ChunkRejection::BadLease);
    }
}

#[test]
fn the_same_worker_comes_back_at_once() {
    let until = NOW.plus_seconds(LEASE);
    given::<Chunk>(owned()).repeatable().when(claim("one")).then([claimed("one", 2, until)]);
}

#[test]
fn a_lease_is_made_longer_by_its_owner_only() {
    let extend = |epoch, lease_seconds| ChunkCommand::Extend { epoch, lease_seconds };
    given::<Chunk>(owned()).when(extend(1, 90)).then([claimed("one", 1, NOW.plus_seconds(90))]);
    given::<Chunk>(owned()).when(extend(1, 30)).then([]);
    given::<Chunk>(owned()).when(extend(2, 90)).then_rejected(ChunkRejection::StaleEpoch { epoch: 1 });
}

#[test]
fn a_window_is_opened_by_the_present_owner_over_what_is_to_be_sent() {
    given::<Chunk>(owned()).when(attempt(1, &[0, 2])).then([attempting(1, &[0, 2], 0)]);
    given::<Chunk>([planned()]).when(attempt(1, &[0])).then_rejected(ChunkRejection::StaleEpoch { epoch: 0 });
    let taken_over = with(owned(), [claimed("two", 2, NOW.plus_seconds(LEASE))]);
    given::<Chunk>(taken_over).when(attempt(1, &[0])).then_rejected(ChunkRejection::StaleEpoch { epoch: 2 });
    let over = vec![planned(), claimed("one", 1, NOW)];
    given::<Chunk>(over).when(attempt(1, &[0])).then_rejected(ChunkRejection::LeaseOver);
    let open = with(owned(), [attempting(1, &[0], 0)]);
    given::<Chunk>(open).when(attempt(1, &[1])).then_rejected(ChunkRejection::WindowOpen);
    let too_many: Vec<u16> = (0..=MAX_WINDOW as u16).collect();
    for bad in [&[][..], &[1, 0], &[1, 1], &[4], &too_many] {
        given::<Chunk>(owned()).when(attempt(1, bad)).then_rejected(ChunkRejection::BadWindow);
    }
}

#[test]
fn what_was_taken_or_is_unknown_is_never_attempted_again() {
    use Fate::*;
    for fate in [Accepted, Rejected, Unknown, Skipped] {
        let settled = with(owned(), [attempting(1, &[0], 0), outcome(1, &[(0, fate)])]);
        given::<Chunk>(settled).when(attempt(1, &[0, 1])).then_rejected(ChunkRejection::NotOpen { index: 0 });
    }
    let deferred = with(owned(), [attempting(1, &[0, 1], 0), outcome(1, &[(0, Deferred), (1, Unsent)])]);
    given::<Chunk>(deferred).when(attempt(1, &[0, 1, 2])).then([attempting(1, &[0, 1, 2], 1)]);
}

#[test]
fn an_outcome_closes_the_window_whole_and_once() {
    use Fate::*;
    let open = || given::<Chunk>(with(owned(), [attempting(1, &[0, 2], 0)]));
    let fates = [(0, Accepted), (2, Rejected)];
    let chunk = open().when(record(1, &fates)).then([outcome(1, &fates)]);
    assert_eq!(chunk.window(), None);
    assert_eq!(chunk.counts(), SendCounts { accepted: 1, rejected: 1, ..SendCounts::default() });
    for bad in [&[(0, Accepted)][..], &[(0, Accepted), (1, Accepted)], &[(2, Accepted), (0, Accepted)]] {
        open().when(record(1, bad)).then_rejected(ChunkRejection::BadWindow);
    }
    let mut long = outcomes(&fates);
    long[0].cause = Some("x".repeat(MAX_CAUSE + 1));
    open().when(ChunkCommand::Record { epoch: 1, outcomes: long }).then_rejected(ChunkRejection::BadWindow);
    let closed = with(owned(), [attempting(1, &[0, 2], 0), outcome(1, &fates)]);
    given::<Chunk>(closed.clone()).when(record(1, &fates)).then([]);
    given::<Chunk>(closed).when(record(1, &[(0, Unknown), (2, Unknown)])).then_rejected(ChunkRejection::NoWindow);
}

/// K5: a worker that slept through its lease finds its window closed by its successor, and is refused.
#[test]
fn the_successor_closes_the_window_of_the_owner_before() {
    use Fate::*;
    let events = with(owned(), [attempting(1, &[0], 0), claimed("two", 2, NOW.plus_seconds(LEASE))]);
    given::<Chunk>(events.clone())
        .when(record(1, &[(0, Accepted)]))
        .then_rejected(ChunkRejection::StaleEpoch { epoch: 2 });
    given::<Chunk>(events).when(record(2, &[(0, Unknown)])).then([outcome(2, &[(0, Unknown)])]);
}

#[test]
fn a_chunk_is_done_when_nothing_is_to_be_sent() {
    use Fate::*;
    let finish = |epoch| ChunkCommand::Finish { epoch };
    given::<Chunk>(owned()).when(finish(1)).then_rejected(ChunkRejection::Unsettled);
    let fates = [(0, Accepted), (1, Deferred), (2, Unknown), (3, Skipped)];
    let open = with(owned(), [attempting(1, &[0, 1, 2, 3], 0)]);
    given::<Chunk>(open.clone()).when(finish(1)).then_rejected(ChunkRejection::WindowOpen);
    let settled = with(open, [outcome(1, &fates)]);
    let chunk = given::<Chunk>(settled.clone()).when(finish(1)).then([done(1)]);
    assert!(chunk.is_done() && chunk.counts().total() == 4);
    given::<Chunk>(settled.clone()).when(finish(2)).then_rejected(ChunkRejection::StaleEpoch { epoch: 1 });
    let over = with(settled, [done(1)]);
    given::<Chunk>(over.clone()).when(finish(1)).then([]);
    given::<Chunk>(over.clone()).when(claim("one")).then_rejected(ChunkRejection::Done);
    given::<Chunk>(over).when(attempt(1, &[1])).then_rejected(ChunkRejection::Done);
}

/// A chunk that is done: accepted, rejected, deferred, unknown.
fn ended() -> Vec<ChunkEvent> {
    let fates = [(0, Fate::Accepted), (1, Fate::Rejected), (2, Fate::Deferred), (3, Fate::Unknown)];
    with(owned(), [attempting(1, &[0, 1, 2, 3], 0), outcome(1, &fates), done(1)])
}

fn reopen(round: u32, ends: &[RetriedEnd]) -> ChunkCommand {
    ChunkCommand::Reopen { round, ends: ends.to_vec() }
}

fn reopened(round: u32, deferred: &[u16], rejected: &[u16], unknown: &[u16]) -> ChunkEvent {
    let (deferred, rejected, unknown) = (deferred.to_vec(), rejected.to_vec(), unknown.to_vec());
    ChunkReopened { campaign: CAMPAIGN, number: 3, round, deferred, rejected, unknown }.into()
}

fn reconciled(index: u16, accepted: bool, proof: Proof) -> Reconciled {
    Reconciled { index, accepted, proof, provider_id: None }
}

fn reconcile(entries: Vec<Reconciled>) -> ChunkCommand {
    ChunkCommand::Reconcile { entries }
}

#[test]
fn who_did_not_get_it_is_tried_again_once_a_round_and_nobody_else() {
    use RetriedEnd::{Deferred, Rejected, Unknown};
    given::<Chunk>(ended()).when(reopen(1, &[Deferred])).then([reopened(1, &[2], &[], &[])]);
    given::<Chunk>(ended()).when(reopen(1, &[Rejected, Unknown])).then([reopened(1, &[], &[1], &[3])]);
    given::<Chunk>(owned()).when(reopen(1, &[Deferred])).then([]);
    let open = with(ended(), [reopened(1, &[2], &[], &[])]);
    given::<Chunk>(open.clone()).when(reopen(1, &[Deferred])).then([]);
    let claimed_again = with(open, [claimed("one", 2, NOW.plus_seconds(LEASE))]);
    given::<Chunk>(claimed_again.clone()).when(attempt(2, &[2])).then([attempting(2, &[2], 0)]);
    for other in [0, 1, 3] {
        let refused = ChunkRejection::NotOpen { index: other };
        given::<Chunk>(claimed_again.clone()).when(attempt(2, &[other])).then_rejected(refused);
    }
    // Rounds that follow take what is left.
    let over = with(claimed_again, [attempting(2, &[2], 0), outcome(2, &[(2, Fate::Accepted)]), done(2)]);
    given::<Chunk>(over.clone()).when(reopen(1, &[Rejected])).then([]);
    given::<Chunk>(over).when(reopen(2, &[Deferred, Rejected])).then([reopened(2, &[], &[1], &[])]);
}

#[test]
fn an_unknown_one_is_sent_again_once_and_no_more() {
    let open = with(ended(), [reopened(1, &[], &[], &[3]), claimed("one", 2, NOW.plus_seconds(LEASE))]);
    let again = with(open, [attempting(2, &[3], 0), outcome(2, &[(3, Fate::Unknown)]), done(2)]);
    given::<Chunk>(again).when(reopen(2, &[RetriedEnd::Unknown])).then([]);
}

#[test]
fn a_proof_settles_what_nobody_could_tell_and_nothing_else() {
    let event = |entries: Vec<Reconciled>| ChunkReconciled { campaign: CAMPAIGN, number: 3, entries }.into();
    let all: Vec<_> = (0..4).map(|index| reconciled(index, true, Proof::Click)).collect();
    given::<Chunk>(ended()).when(reconcile(all.clone())).then([event(vec![all[3].clone()])]);
    given::<Chunk>(ended()).when(reconcile(all[..3].to_vec())).then([]);
    let settled = with(ended(), [event(vec![all[3].clone()])]);
    given::<Chunk>(settled.clone()).when(reconcile(all)).then([]);
    given::<Chunk>(settled).when(reopen(1, &[RetriedEnd::Unknown])).then([]);
    // Only a provider can say that it did not take it; then it may be tried again.
    let denied = reconciled(3, false, Proof::ProviderLog);
    given::<Chunk>(ended()).when(reconcile(vec![denied.clone()])).then([event(vec![denied.clone()])]);
    let denied = with(ended(), [event(vec![denied])]);
    given::<Chunk>(denied).when(reopen(1, &[RetriedEnd::Deferred])).then([reopened(1, &[2, 3], &[], &[])]);
    for bad in [
        vec![reconciled(3, false, Proof::Bounce)],
        vec![reconciled(9, true, Proof::Open)],
        vec![reconciled(3, true, Proof::Open), reconciled(1, true, Proof::Open)],
    ] {
        given::<Chunk>(ended()).when(reconcile(bad)).then_rejected(ChunkRejection::BadProof);
    }
}
