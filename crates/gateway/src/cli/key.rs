//! `waypost key`: client keys beside those of the configuration. A new secret goes to stdout, once; it is stored nowhere.

use super::place::{Look, PlaceArgs, limits, pair, short, table};
use super::{Failure, pretty, print};
use crate::control::Command;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key; its secret is printed once and can never be shown again
    Create(Box<Create>),
    /// All keys, those of the configuration too
    List {
        #[command(flatten)]
        place: PlaceArgs,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// One key
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Take a key out of service, for good
    Revoke {
        /// Its id
        id: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Give a key a new secret; it is printed once
    Rotate {
        /// Its id
        id: String,
        /// How long the old secret is good yet: 30m, 24h; by default not at all
        #[arg(long, value_name = "TIME")]
        grace: Option<String>,
        #[command(flatten)]
        place: PlaceArgs,
        /// JSON with all terms, instead of the secret alone
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Public name, as in records; made up where absent
    #[arg(long)]
    id: Option<String>,
    /// Whose key it is
    #[arg(long)]
    team: Option<String>,
    /// A tag of every request made with it
    #[arg(long = "tag", value_name = "K=V", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// A model that it may use: a name, `tag:WORD` or `tier:small|medium|large|frontier`; by default all
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// A route that it may use; by default all
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
    /// A stage that it may use; by default all
    #[arg(long = "stage", value_name = "STAGE")]
    stages: Vec<String>,
    /// A provider that its requests may go to; by default all
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// The package whose limits and models it has
    #[arg(long)]
    package: Option<String>,
    /// Its last day, such as 2027-01-31, or the moment it ends, such as 2027-01-31T18:00:00Z
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// A limit of its own, as in the configuration: `usd_per_day=5`, `requests_per_minute=60`
    #[arg(long = "limit", value_name = "NAME=AMOUNT", value_parser = pair)]
    limits: Vec<(String, String)>,
    #[command(flatten)]
    place: PlaceArgs,
    /// JSON with all terms, instead of the secret alone
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &KeyArgs) -> Result<(), Failure> {
    match &args.what {
        What::Create(create) => {
            let made = create.place.change(Command::CreateKey(body(create)))?;
            told(&made, create.json, "created")
        }
        What::List { place, json } => {
            let all = place.look(Look::Keys)?;
            if *json { print(&(pretty(&all) + "\n")) } else { print(&listed(&all)) }
        }
        What::Show { id, place } => print(&(pretty(&place.look(Look::Key(id))?) + "\n")),
        What::Revoke { id, place } => {
            let revoked = place.change(Command::RevokeKey(id.clone()))?;
            print(&format!("{id} is revoked since {}\n", short(&revoked["revoked"])))
        }
        What::Rotate { id, grace, place, json } => {
            let body = grace.as_ref().map_or_else(|| json!({}), |grace| json!({"grace": grace}));
            told(&place.change(Command::RotateKey(id.clone(), body))?, *json, "has a new secret")
        }
    }
}

/// The secret alone on stdout, for scripts; what it is, on stderr.
fn told(key: &Value, json: bool, what: &str) -> Result<(), Failure> {
    if json {
        return print(&(pretty(key) + "\n"));
    }
    eprintln!("{} {what}; the secret is shown this once:", short(&key["id"]));
    print(&(short(&key["secret"]) + "\n"))
}

fn body(create: &Create) -> Value {
    let mut body = Map::new();
    let mut add = |name: &str, value: Value, given: bool| {
        if given {
            body.insert(name.to_owned(), value);
        }
    };
    let texts =
        [("id", &create.id), ("team", &create.team), ("package", &create.package), ("expires", &create.expires)];
    for (name, text) in texts {
        add(name, json!(text), text.is_some());
    }
    let lists = [
        ("models", &create.models),
        ("routes", &create.routes),
        ("stages", &create.stages),
        ("providers", &create.providers),
    ];
    for (name, list) in lists {
        add(name, json!(list), !list.is_empty());
    }
    let tags: Map<String, Value> = create.tags.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    add("tags", Value::Object(tags), !create.tags.is_empty());
    add("limits", limits(&create.limits), !create.limits.is_empty());
    Value::Object(body)
}

fn listed(all: &Value) -> String {
    let keys = all["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        return "no keys\n".to_owned();
    }
    let columns = ["id", "state", "source", "team", "package", "models", "limits", "expires"];
    let row = |key: &Value| columns.iter().map(|name| short(&key[*name])).collect();
    table(&columns, &keys.iter().map(row).collect::<Vec<_>>())
}
