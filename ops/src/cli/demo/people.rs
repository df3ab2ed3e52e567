//! 2,000 people in a few cities, most of them customers of a small outdoor shop with courses.

use super::{DAYS, Demo, LAST_DAY, Rng, Step};
use crate::cli::client::CliError;
use serde_json::json;

const FIRST: &[&str] = &[
    "Ada", "Amira", "Anna", "Aylin", "Ben", "Bruno", "Carla", "Cem", "Clara", "Daniel", "David", "Elena", "Elias",
    "Emil", "Emma", "Fatma", "Felix", "Finn", "Greta", "Hanna", "Henri", "Ida", "Ines", "Jakob", "Jana", "João",
    "Jonas", "Julia", "Kenji", "Lars", "Laura", "Lea", "Leon", "Lina", "Louis", "Luca", "Maja", "Marie", "Mateo",
    "Max", "Mila", "Nina", "Noah", "Nora", "Olga", "Oskar", "Paul", "Pia", "Rafael", "Rosa", "Samuel", "Sara", "Sofia",
    "Theo", "Tim", "Uma", "Viktor", "Yara", "Zoë", "Øyvind",
];
const LAST: &[&str] = &[
    "Adler",
    "Albrecht",
    "Andersen",
    "Bauer",
    "Beck",
    "Berger",
    "Bianchi",
    "Brandt",
    "Braun",
    "Castro",
    "Demir",
    "Dubois",
    "Eriksson",
    "Fischer",
    "Fontaine",
    "Franke",
    "García",
    "Graf",
    "Hansen",
    "Hartmann",
    "Hoffmann",
    "Horn",
    "Ito",
    "Jansen",
    "Kaya",
    "Keller",
    "Klein",
    "Koch",
    "Kowalski",
    "Krüger",
    "Lang",
    "Larsen",
    "Lindner",
    "López",
    "Maier",
    "Martin",
    "Meyer",
    "Moreau",
    "Müller",
    "Neumann",
    "Nowak",
    "Olsen",
    "Pereira",
    "Petrov",
    "Pfeiffer",
    "Richter",
    "Rossi",
    "Roth",
    "Santos",
    "Schäfer",
    "Schmidt",
    "Schneider",
    "Schulz",
    "Seidel",
    "Silva",
    "Sommer",
    "Stein",
    "Tanaka",
    "Torres",
    "Vogel",
    "Wagner",
    "Weber",
    "Weiß",
    "Werner",
    "Winter",
    "Wolf",
    "Yılmaz",
    "Ziegler",
];
const CITIES: &[(&str, &str)] = &[
    ("Berlin", "DE"),
    ("Hamburg", "DE"),
    ("München", "DE"),
    ("Köln", "DE"),
    ("Leipzig", "DE"),
    ("Wien", "AT"),
    ("Graz", "AT"),
    ("Zürich", "CH"),
    ("Bern", "CH"),
    ("Paris", "FR"),
    ("Lyon", "FR"),
    ("Amsterdam", "NL"),
    ("København", "DK"),
    ("Oslo", "NO"),
    ("Lisboa", "PT"),
    ("Madrid", "ES"),
    ("Milano", "IT"),
    ("Warszawa", "PL"),
];
const COMPANIES: &[&str] = &[
    "Alpenblick GmbH",
    "Bergwerk Studio",
    "Canal & Co",
    "Druckerei Sonnenhof",
    "Fjord Logistics",
    "Hafen Kontor",
    "Isar Architekten",
    "Kaffeerösterei Nord",
    "Lindenhof Schule",
    "Maison Verte",
    "Nordlicht Verlag",
    "Praxis am Park",
    "Radwerkstatt Süd",
    "Seilschaft e.V.",
    "Tischlerei Horn",
    "Velo Lisboa",
];
const TAGS: &[&str] = &["newsletter", "customer", "vip", "trade", "course", "event 2025", "event 2026"];

/// A person of the demo, as later parts need it.
pub struct Contact {
    pub id: String,
    pub name: String,
    pub email: String,
    pub city: &'static str,
    pub since: i64,
}

/// When the `number`-th of `count` things happened: spread over the two years, later ones more often.
pub fn moment(rng: &mut Rng, number: usize, count: usize) -> i64 {
    let share = ((number as f64 + 0.5) / count as f64).sqrt();
    let day = (share * DAYS as f64) as i64;
    LAST_DAY - (DAYS as i64 - day) * 86_400 + 7 * 3_600 + rng.below(12 * 3_600) as i64
}

pub async fn fill(demo: &Demo) -> Result<Vec<Contact>, CliError> {
    let count = 2_000 * demo.scale;
    demo.all((0..count).map(|number| person(demo, number, count))).await
}

async fn person(demo: &Demo, number: usize, count: usize) -> Result<Contact, CliError> {
    let mut rng = Rng::of("contact", number);
    let (first, last) = (rng.pick(FIRST), rng.pick(LAST));
    let (city, country) = CITIES[rng.below(CITIES.len())];
    let since = moment(&mut rng, number, count);
    let plain: String = format!("{first}.{last}").to_lowercase().chars().map(ascii).collect();
    let email = format!("{plain}.{number}@{}", rng.pick(&["example.org", "example.com", "example.net"]));
    let mut tags: Vec<&str> = TAGS.iter().copied().filter(|_| rng.chance(18)).collect();
    if tags.is_empty() {
        tags.push("newsletter");
    }
    let company = rng.chance(25).then(|| rng.pick(COMPANIES));
    let phone = rng.chance(40).then(|| format!("+49 30 5550{:04}", number % 10_000));
    let body = json!({
        "email": email, "first_name": first, "last_name": last, "city": city, "country": country,
        "company": company, "phone": phone, "tags": tags,
    });
    let key = |what: &str| format!("demo-contact-{number}-{what}");
    let id = demo.run(Step::post(key("create"), "/v1/contacts", body).on(since)).await?;
    if rng.chance(60) {
        let consent = json!({ "source": "newsletter form", "text_version": "2024-09" });
        let path = format!("/v1/contacts/{id}/consents/marketing");
        demo.run(Step::put(key("consent"), path, consent).on(since + 60)).await?;
    }
    Ok(Contact { id, name: format!("{first} {last}"), email, city, since })
}

/// Letters of an address; the names keep theirs.
fn ascii(letter: char) -> char {
    match letter {
        'a'..='z' | '.' => letter,
        'ä' | 'ã' | 'á' | 'å' => 'a',
        'ö' | 'ó' | 'ø' => 'o',
        'ü' | 'ú' => 'u',
        'í' | 'ı' => 'i',
        'ë' | 'é' => 'e',
        'ß' => 's',
        _ => 'x',
    }
}
