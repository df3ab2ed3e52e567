//! No MAIL before verified TLS (check 1).

use super::*;

fn offering(identity: &Identity, start: TlsStart) -> SinkOptions {
    SinkOptions { tls: Some((identity.server.clone(), start)), require_tls: true, ..SinkOptions::default() }
}

#[tokio::test]
async fn check_1_mails_go_through_verified_tls() {
    let identity = Identity::of("localhost");
    for (start, security) in [(TlsStart::Implicit, Security::ImplicitTls), (TlsStart::OnCommand, Security::StartTls)] {
        let credentials = Credentials::try_new("anna", "secret");
        let (sink, _folder) =
            sink(SinkOptions { credentials: credentials.clone(), ..offering(&identity, start) }).await;
        let options = SmtpOptions { credentials, ..secured(&sink, security, identity.roots()) };
        let mut connection = open(options).await.unwrap();
        assert_eq!(connection.tls().as_deref(), Some("TLSv1_3"));
        for number in 0..3 {
            connection.send(&envelope("anna@x.example"), &message(&number.to_string())).await.unwrap();
        }
        connection.quit().await;
        let taken = sink.taken().unwrap();
        assert_eq!(taken.len(), 3);
        assert!(taken.iter().all(|taken| taken.tls.as_deref() == Some("TLSv1_3")));
        let said = commands(&sink);
        let hello = "EHLO worker.millrace.example";
        let expected: &[&str] =
            if security == Security::StartTls { &[hello, "STARTTLS", hello, "AUTH"] } else { &[hello, "AUTH"] };
        assert_eq!(
            &said[..expected.len()],
            expected,
            "EHLO is said again under TLS, and the password is in no transcript"
        );
        assert_eq!(said.last().unwrap(), "QUIT");
    }
}

#[tokio::test]
async fn check_1_a_large_message_passes_tls_whole() {
    let identity = Identity::of("localhost");
    let (sink, _folder) = sink(offering(&identity, TlsStart::Implicit)).await;
    let mut connection = open(secured(&sink, Security::ImplicitTls, identity.roots())).await.unwrap();
    let message = [message("large"), b".dots and text\r\n".repeat(200_000)].concat();
    connection.send(&envelope("anna@x.example"), &message).await.unwrap();
    assert_eq!(sink.mailbox().read(1).unwrap().unwrap().message, message);
}

#[tokio::test]
async fn check_1_a_wrong_certificate_gets_no_mail() {
    let identity = Identity::of("localhost");
    for (start, security) in [(TlsStart::Implicit, Security::ImplicitTls), (TlsStart::OnCommand, Security::StartTls)] {
        // An authority nobody trusts; then a trusted one, for another name.
        let stranger = Identity::of("localhost");
        let elsewhere = Identity::of("mail.elsewhere.example");
        for (shown, trusted) in [(&stranger, &identity), (&elsewhere, &elsewhere)] {
            let (sink, _folder) = sink(offering(shown, start)).await;
            let failure = open(secured(&sink, security, trusted.roots())).await.unwrap_err();
            assert_eq!((failure.stage, failure.kind), (Stage::Tls, Kind::Unverified), "{failure}");
            assert!(failure.to_string().contains("certificate"), "{failure}");
            let permits = permits(&failure);
            assert!(!permits.unknown && permits.fail_over.under(crate::mail::Class::Marketing) && permits.breaker);
            nothing_was_sent(&sink);
        }
    }
}

#[tokio::test]
async fn check_1_without_starttls_nothing_is_sent() {
    let identity = Identity::of("localhost");
    let (sink, _folder) = sink(SinkOptions::default()).await;
    let failure = open(secured(&sink, Security::StartTls, identity.roots())).await.unwrap_err();
    assert_eq!((failure.stage, failure.kind), (Stage::Tls, Kind::NotOffered), "{failure}");
    nothing_was_sent(&sink);
    // Implicit TLS at a port that speaks none.
    let failure = open(secured(&sink, Security::ImplicitTls, identity.roots())).await.unwrap_err();
    assert_eq!(failure.stage, Stage::Tls, "{failure}");
    nothing_was_sent(&sink);
}

#[tokio::test]
async fn check_1_an_injected_answer_to_starttls_is_refused() {
    let identity = Identity::of("localhost");
    for (reply, kind) in [
        ("220 go ahead\r\n250 sender ok", Kind::Malformed),
        ("220 go ahead\r\n2", Kind::Malformed),
        ("454 4.7.0 not now", Kind::Refused),
        ("354 what", Kind::Malformed),
    ] {
        let faults = Faults::always(Point::StartTls, say(reply));
        let (sink, _folder) = sink(SinkOptions { faults, ..offering(&identity, TlsStart::OnCommand) }).await;
        let failure = open(secured(&sink, Security::StartTls, identity.roots())).await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Tls, kind), "{reply:?}: {failure}");
        nothing_was_sent(&sink);
    }
}

#[tokio::test]
async fn check_1_without_tls_only_this_machine_is_spoken_to() {
    let (sink, _folder) = sink(SinkOptions::default()).await;
    // Documentation addresses (RFC 5737): a packet to one would be a bug.
    let options = SmtpOptions { host: "192.0.2.1".to_owned(), ..plain(&sink) };
    let failure = open(options).await.unwrap_err();
    assert_eq!((failure.stage, failure.kind), (Stage::Connect, Kind::Unverified), "{failure}");
}
