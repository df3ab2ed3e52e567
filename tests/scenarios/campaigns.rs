//! A campaign until it is scheduled; sending is another matter.

use super::{tenant, unique};
use crate::support::mailing;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_scheduled_when_it_is_complete() {
    let client = tenant().await;
    let campaign = client.make("/v1/campaigns", &json!({"name": unique("Spring ")})).await;
    let path = format!("/v1/campaigns/{campaign}");
    let at = |what: &str| format!("{path}/{what}");
    let tell = |what: &str, body| client.post(&at(what), &body).send();
    let status = async || client.read(&path).await.expect(200).json()["status"].clone();
    let when = json!({"at": "2027-05-01T09:00:00Z", "time_zone": "Europe/Berlin"});
    tell("schedule", when.clone()).await.refused(409, "audience_missing");
    let segment = json!({"filter": {"tags": {"_eq": "newsletter"}}, "purpose": "marketing"});
    client.put(&at("audience"), &json!({"segment": segment})).send().await.expect(200);
    tell("schedule", when.clone()).await.refused(409, "content_incomplete");
    let content =
        json!({"subject": "Spring", "from_name": "Shop", "from_email": "shop@x.example", "html": "<p>Hello</p>"});
    client.put(&at("content"), &content).send().await.expect(200);
    let bad =
        json!({"subject": "Spring\r\nBcc: all@x.example", "from_name": "S", "from_email": "s@x.example", "html": "x"});
    client.put(&at("content"), &bad).send().await.refused(422, "invalid_text");
    // Checks 45 and 46: marketing shows where its sender gets post.
    tell("schedule", when.clone()).await.refused(409, "postal_address_missing");
    client
        .put("/v1/tenant/postal-address", &json!({"lines": ["a\nb"]}))
        .send()
        .await
        .refused(422, "invalid_postal_address");
    mailing::postal_address(&client).await;
    assert_eq!(client.get("/v1/tenant").send().await.json()["postal_address"][0], "Garden & Sons");
    tell("schedule", json!({"at": "2020-01-01T00:00:00Z", "time_zone": "UTC"})).await.refused(422, "time_past");
    tell("schedule", json!({"at": when["at"], "time_zone": "Mars/Base"})).await.refused(422, "invalid_time_zone");
    tell("schedule", json!({"at": "soon"})).await.refused(422, "invalid_time");
    tell("schedule", when.clone()).await.expect(200);
    assert_eq!(status().await, "scheduled");
    client.put(&at("content"), &content).send().await.refused(409, "campaign_scheduled");
    tell("unschedule", json!({})).await.expect(200);
    assert_eq!(status().await, "draft");
    tell("cancel", json!({})).await.expect(200);
    tell("schedule", when).await.refused(409, "campaign_cancelled");
    assert_eq!(status().await, "cancelled");
}
