use super::*;
use crate::{
    harness::{NOW, given, key, opened, sealed},
    rejection::Rejection,
};
use MessageCommand as C;
use MessageRejection as R;
use bus_schema::mail::{
    feedback::BounceKind,
    message::{MessageBounced, MessageComplained, MessageComplaintWithdrawn, MessageDelivered, MessageWords},
};

fn content() -> MessageContent {
    MessageContent {
        email: "ada@x.example".into(),
        name: Some("Ada".into()),
        fields: r#"{"order":"7"}"#.into(),
        words: None,
    }
}

fn new() -> NewMessage {
    NewMessage {
        kind: MessageKind::Receipt,
        template: None,
        contact: Some(Uuid::from_u128(3)),
        account: None,
        about: Some(Uuid::from_u128(4)),
        key: key().id,
        content: content(),
        sender: None,
        life_seconds: USUAL_LIFE,
    }
}

fn requested() -> MessageEvent {
    MessageRequested {
        kind: MessageKind::Receipt,
        template: None,
        contact: Some(Uuid::from_u128(3)),
        account: None,
        about: None,
        content: sealed(&content()),
        sender: None,
        expires_at: NOW,
    }
    .into()
}

fn accept(generation: u32, attempt: u32) -> MessageCommand {
    C::Accept { generation, attempt, message_id: "t@x.example".into(), provider_id: None }
}

fn accepted(generation: u32, attempt: u32) -> MessageEvent {
    MessageAccepted { generation, attempt, message_id: "t@x.example".into(), provider_id: None }.into()
}

fn deferred(attempt: u32) -> MessageEvent {
    let retry_at = NOW.plus_seconds(60);
    MessageDeferred { generation: 0, attempt, cause: "rcpt 450".into(), unknown: false, retry_at, message_id: None }
        .into()
}

fn parked() -> MessageEvent {
    MessageParked { generation: 0, attempt: 1, cause: "tried 12 times".into() }.into()
}

fn request(change: impl FnOnce(&mut NewMessage)) -> MessageCommand {
    let mut new = new();
    change(&mut new);
    C::Request(Box::new(new))
}

#[test]
fn a_request_seals_whom_it_is_for() {
    let decision = given::<Message>([]).when(request(|_| {})).decision();
    let [MessageEvent::Requested(requested)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!(opened(&requested.content), content());
    assert_eq!(requested.expires_at, NOW.plus_seconds(USUAL_LIFE));
    given::<Message>([self::requested()]).when(request(|_| {})).then_rejected(R::Exists);
}

#[test]
fn requests_keep_to_their_limits() {
    let refused = |change: fn(&mut NewMessage), rejection: R| {
        given::<Message>([]).when(request(change)).then_rejected(rejection);
    };
    refused(|new| new.content.email = "ada".into(), R::InvalidAddress);
    refused(|new| new.content.email = "ada@x.example\r\nBcc: b@c.example".into(), R::InvalidAddress);
    refused(|new| new.content.name = Some("A\r\nB".into()), R::InvalidText { field: "name" });
    refused(|new| new.content.fields = "[1]".into(), R::InvalidFields);
    refused(|new| new.content.fields = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_FIELDS)), R::InvalidFields);
    refused(|new| new.template = Some("../etc".into()), R::InvalidTemplate);
    refused(|new| new.life_seconds = 59, R::InvalidLife);
    refused(|new| new.life_seconds = LONGEST_LIFE + 1, R::InvalidLife);
    refused(|new| new.key = KeyId(Uuid::from_u128(9)), R::ReceiverErased);
    refused(
        |new| new.content.words = Some(MessageWords { subject: " ".into(), html: "x".into(), text: None }),
        R::Required { field: "subject" },
    );
    refused(
        |new| new.content.words = Some(MessageWords { subject: "x".into(), html: " ".into(), text: None }),
        R::Required { field: "html" },
    );
    let large = |new: &mut NewMessage| {
        new.content.words = Some(MessageWords { subject: "x".into(), html: "x".repeat(MAX_HTML + 1), text: None });
    };
    refused(large, R::TooLong { field: "html", max: MAX_HTML });
}

#[test]
fn an_attempt_is_told_once_and_a_taken_mail_always() {
    let state = given::<Message>([requested()]).when(accept(0, 1)).then([accepted(0, 1)]);
    assert_eq!(state.status(), MessageStatus::Accepted);
    let defer = C::Defer {
        generation: 0,
        attempt: 1,
        cause: "rcpt 450".into(),
        message_id: None,
        retry_at: NOW.plus_seconds(60),
    };
    let state = given::<Message>([requested()]).when(defer.clone()).then([deferred(1)]);
    assert_eq!((state.status(), state.next_attempt()), (MessageStatus::Deferred, 2));
    given::<Message>([requested(), accepted(0, 1)]).when(defer).then([]);
    // Cancelled while it was handed over: it was taken all the same.
    given::<Message>([requested(), MessageCancelled {}.into()]).when(accept(0, 1)).then([accepted(0, 1)]);
    given::<Message>([requested(), deferred(1), deferred(2)]).when(accept(0, 2)).then([]);
    given::<Message>([requested(), MessageCancelled {}.into()])
        .when(C::Reject { generation: 0, attempt: 1, cause: "rcpt 550".into() })
        .then([]);
    given::<Message>([requested()])
        .when(C::Reject { generation: 0, attempt: 1, cause: "rcpt 550".into() })
        .then([MessageRejected { generation: 0, attempt: 1, cause: "rcpt 550".into() }.into()]);
    given::<Message>([requested()])
        .when(C::Park { generation: 0, attempt: 1, cause: "tried 12 times".into() })
        .then([parked()]);
    given::<Message>([]).when(accept(0, 1)).then_rejected(R::Unknown);
}

#[test]
fn people_cancel_retry_and_resend() {
    given::<Message>([requested()]).when(C::Cancel).then([MessageCancelled {}.into()]);
    given::<Message>([requested(), parked()]).when(C::Cancel).then([MessageCancelled {}.into()]);
    given::<Message>([requested(), accepted(0, 1)]).when(C::Cancel).then_rejected(R::NotOpen { status: "accepted" });
    let expires_at = NOW.plus_seconds(USUAL_LIFE);
    let state =
        given::<Message>([requested(), parked()])
            .when(C::Retry)
            .then([MessageRequeued { generation: 0, expires_at }.into()]);
    assert_eq!((state.generation(), state.next_attempt()), (0, 2), "it is the same mail");
    given::<Message>([requested()]).when(C::Retry).then_rejected(R::UnderWay);
    given::<Message>([requested(), accepted(0, 1)]).when(C::Retry).then_rejected(R::NotParked);
    let state = given::<Message>([requested(), accepted(0, 3)]).when(C::Resend).then([MessageRequeued {
        generation: 1,
        expires_at,
    }
    .into()]);
    assert_eq!((state.generation(), state.next_attempt()), (1, 1), "it is another mail");
    given::<Message>([requested()]).when(C::Resend).then_rejected(R::UnderWay);
    let last: MessageEvent = MessageRequeued { generation: MAX_GENERATION, expires_at }.into();
    given::<Message>([requested(), last, accepted(MAX_GENERATION, 1)]).when(C::Resend).then_rejected(R::TooManyResends);
    // What an earlier mail came to is no news of the present one.
    let again: MessageEvent = MessageRequeued { generation: 1, expires_at }.into();
    given::<Message>([requested(), accepted(0, 1), again]).when(accept(0, 2)).then([]);
}

#[test]
fn it_ends_by_time_by_erasure_and_by_coming_back() {
    given::<Message>([requested()]).when(C::Expire).then([MessageExpired {}.into()]);
    let later: MessageEvent = MessageRequeued { generation: 0, expires_at: NOW.plus_seconds(1) }.into();
    given::<Message>([requested(), parked(), later]).when(C::Expire).then_rejected(R::NotDue);
    given::<Message>([requested(), accepted(0, 1)]).when(C::Expire).then([]);
    let cause = || "its receiver was erased".to_owned();
    given::<Message>([requested()])
        .when(C::Withhold { cause: cause() })
        .then([MessageWithheld { cause: cause() }.into()]);
    given::<Message>([requested(), accepted(0, 1)]).when(C::Withhold { cause: cause() }).then([]);
}

#[test]
fn checks_57_and_58_what_came_back_is_known_once_and_in_any_order() {
    let tell = |generation, what: &Told| C::Tell { generation, what: what.clone() };
    let bounce = |kind| Told::Bounced { kind, status: Some("5.1.1".into()) };
    let bounced =
        |kind| -> MessageEvent { MessageBounced { generation: 0, cause: "5.1.1".into(), kind: Some(kind) }.into() };
    let (full, gone) = (bounce(BounceKind::Transient), bounce(BounceKind::Permanent));
    let sent = || vec![requested(), accepted(0, 1)];
    given::<Message>(sent()).when(tell(0, &full)).then([bounced(BounceKind::Transient)]);
    given::<Message>(sent()).when(tell(1, &full)).then([]);
    let after = |events: &[MessageEvent]| [sent(), events.to_vec()].concat();
    let once = after(&[bounced(BounceKind::Transient)]);
    given::<Message>(once.clone()).when(tell(0, &full)).then([]);
    let state = given::<Message>(once).when(tell(0, &gone)).then([bounced(BounceKind::Permanent)]);
    assert_eq!(state.status(), MessageStatus::Bounced);
    // Nobody recorded that it was taken, and it came back: it is not tried again, and that record changes nothing any more.
    let early = vec![requested(), bounced(BounceKind::Permanent)];
    given::<Message>(early.clone()).when(accept(0, 1)).then([]);
    given::<Message>(early.clone()).when(tell(0, &gone)).then([]);
    let delivered: MessageEvent = MessageDelivered { generation: 0 }.into();
    let state = given::<Message>(early).when(tell(0, &Told::Delivered)).then([delivered.clone()]);
    assert_eq!(state.status(), MessageStatus::Bounced, "a delivery that is told later changes nothing of it");
    given::<Message>(after(&[delivered])).when(tell(0, &Told::Delivered)).then([]);
    let spam = Told::Complained { kind: "abuse".into() };
    let complained: MessageEvent = MessageComplained { generation: 0, kind: "abuse".into() }.into();
    given::<Message>(sent()).when(tell(0, &spam)).then([complained.clone()]);
    given::<Message>(after(std::slice::from_ref(&complained))).when(tell(0, &spam)).then([]);
    let taken_back: MessageEvent = MessageComplaintWithdrawn { generation: 0 }.into();
    given::<Message>(after(&[complained])).when(tell(0, &Told::NotSpam)).then([taken_back]);
    given::<Message>(sent()).when(tell(0, &Told::NotSpam)).then([]);
    let wrong = Told::Bounced { kind: BounceKind::Permanent, status: Some("ada@x.example".into()) };
    given::<Message>(sent()).when(tell(0, &wrong)).then_rejected(R::InvalidStatus);
    given::<Message>([]).when(tell(0, &gone)).then_rejected(R::Unknown);
    // Another mail of it begins anew.
    let again: MessageEvent = MessageRequeued { generation: 1, expires_at: NOW.plus_seconds(1) }.into();
    let resent = after(&[bounced(BounceKind::Permanent), again, accepted(1, 1)]);
    given::<Message>(resent.clone()).when(tell(0, &gone)).then([]);
    let event = MessageBounced { generation: 1, cause: "5.1.1".into(), kind: Some(BounceKind::Permanent) };
    given::<Message>(resent).when(tell(1, &gone)).then([event.into()]);
}

#[test]
fn one_reason_makes_one_message() {
    let tenant = TenantId::try_new("acme").unwrap();
    let id = message_of(&tenant, MessageKind::Receipt, Uuid::from_u128(1), "");
    assert_eq!(id, message_of(&tenant, MessageKind::Receipt, Uuid::from_u128(1), ""));
    assert_ne!(id, message_of(&tenant, MessageKind::Enrolment, Uuid::from_u128(1), ""));
    assert_ne!(id, message_of(&tenant, MessageKind::Receipt, Uuid::from_u128(1), "2"));
    assert_ne!(id, message_of(&TenantId::try_new("other").unwrap(), MessageKind::Receipt, Uuid::from_u128(1), ""));
    assert_eq!(R::Exists.code(), "message_exists");
}
