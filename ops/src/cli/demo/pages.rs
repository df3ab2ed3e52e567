//! 60 pages of the shop's site: the start, guides, a journal and what the law wants.

use super::{Demo, Rng, Step, people::moment};
use crate::cli::client::CliError;
use reqwest::Method;
use serde_json::json;

const FIXED: &[(&str, &str, &str)] = &[
    ("", "Trailhead", "Outdoor gear that lasts, and courses that get you out."),
    ("about", "About us", "A small shop with a workshop, since 2012."),
    ("contact", "Contact", "Write, call or come by."),
    ("shipping", "Shipping and returns", "What it costs, how long it takes, how to send things back."),
    ("imprint", "Imprint", "Who is responsible for this site."),
    ("privacy", "Privacy", "What we store, why, and how to have it erased."),
    ("repairs", "Repairs", "We mend what we sell."),
    ("rental", "Rental", "Tents, ropes and snowshoes by the day."),
    ("team", "The team", "Who answers when you write."),
    ("jobs", "Jobs", "Work with us."),
];
const TOPICS: &[&str] = &[
    "Choosing a backpack",
    "Boots that fit",
    "Layers for autumn",
    "A week in the Alps",
    "Stoves compared",
    "Reading a map",
    "Knots worth knowing",
    "Winter camping",
    "Caring for wool",
    "Waxing a jacket",
    "Sleeping warm",
    "Food for three days",
    "First aid outside",
    "Leave no trace",
    "With children",
    "By train to the trail",
    "Hut to hut",
    "The lightest kit",
    "Repairing a tent",
    "Rain without fear",
    "Headlamps",
    "Bikepacking basics",
    "Choosing a rope",
    "Climbing shoes",
    "Avalanche awareness",
];

/// The form on the start page, as an author writes it.
const SUBSCRIBE: &str = r#"
<h2>A letter for each season</h2>
<form method="post" action="/v1/sites/{{ site.tenant }}/subscribe">
<p><label>E-mail address <input name="email" type="email" required maxlength="254" autocomplete="email"></label>
<label>First name, if you like <input name="first_name" maxlength="100" autocomplete="given-name"></label></p>
<p hidden><label>Leave this empty <input name="website" tabindex="-1" autocomplete="off"></label></p>
<input type="hidden" name="tags" value="newsletter"><input type="hidden" name="source" value="start page">
<input type="hidden" name="text_version" value="2026-10">
<p>Yes, send me four letters a year. I can leave with the link in each of them.</p>
<p><button>Subscribe</button></p>
</form>"#;

pub async fn fill(demo: &Demo) -> Result<usize, CliError> {
    open_form(demo).await?;
    let chains: Vec<_> = (0..60).map(|number| page(demo, number)).collect();
    Ok(demo.all(chains).await?.len())
}

/// The words people agree to are those of the form on the start page.
async fn open_form(demo: &Demo) -> Result<(), CliError> {
    let text = "Yes, send me four letters a year. I can leave with the link in each of them.";
    let open = json!({ "open": true, "tags": ["newsletter"], "text": text, "text_version": "2026-10" });
    demo.run(Step::put("demo-subscription-form".into(), "/v1/subscription-form", open)).await?;
    Ok(())
}

async fn page(demo: &Demo, number: usize) -> Result<(), CliError> {
    let mut rng = Rng::of("page", number);
    let (slug, title, description) = match FIXED.get(number) {
        Some((slug, title, description)) => ((*slug).to_owned(), (*title).to_owned(), (*description).to_owned()),
        None => {
            let topic = TOPICS[(number - FIXED.len()) % TOPICS.len()];
            let section = if number.is_multiple_of(2) { "guides" } else { "journal" };
            let title = if number < FIXED.len() + TOPICS.len() { topic.to_owned() } else { format!("{topic}, again") };
            let slug = format!("{section}/{}", title.to_lowercase().replace(", ", "-").replace(' ', "-"));
            (slug, title.clone(), format!("{title}: what we learned outside."))
        }
    };
    let at = moment(&mut rng, number, 60);
    let mut words = text(&title, &mut rng);
    if slug.is_empty() {
        words.push_str(SUBSCRIBE);
    }
    let body = json!({ "slug": slug, "title": title, "description": description, "body": words });
    let key = |what: &str| format!("demo-page-{number}-{what}");
    let id = demo.run(Step::post(key("create"), "/v1/pages", body).on(at)).await?;
    // A few stay drafts, some were edited after they were published.
    if number % 15 == 14 {
        return Ok(());
    }
    demo.run(Step::act(key("publish"), format!("/v1/pages/{id}/publish")).on(at + 3_600)).await?;
    if number % 4 == 3 {
        let edited = json!({ "body": text(&format!("{title}, revised"), &mut rng) });
        let edit = Step {
            method: Method::PATCH,
            if_match: true,
            ..Step::post(key("edit"), format!("/v1/pages/{id}"), edited)
        };
        demo.run(edit.on(at + 86_400)).await?;
        demo.run(Step::act(key("publish-2"), format!("/v1/pages/{id}/publish")).on(at + 90_000)).await?;
    }
    Ok(())
}

fn text(heading: &str, rng: &mut Rng) -> String {
    const SENTENCES: &[&str] = &[
        "Start with the weather and end with the weather.",
        "What you carry is what you know, minus what you forgot.",
        "We tried this for a whole season before we wrote it down.",
        "If it does not fit in the shop, it will not fit on the hill.",
        "Good gear is repaired, not replaced.",
        "Ask us when in doubt; we would rather talk than sell the wrong thing.",
        "Pack it, weigh it, take one thing out.",
        "The best time was spring, the second best is now.",
    ];
    let paragraphs: Vec<String> = (0..3 + rng.below(4))
        .map(|_| {
            let sentences: Vec<&str> = (0..3 + rng.below(3)).map(|_| rng.pick(SENTENCES)).collect();
            format!("<p>{}</p>", sentences.join(" "))
        })
        .collect();
    format!(
        "<h1>{heading}</h1>\n{}\n<p class=\"note\">{{{{ site.name }}}} · {{{{ page.title }}}}</p>",
        paragraphs.join("\n")
    )
}
