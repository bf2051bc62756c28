//! The control plane on each database: what one handle changes, another one sees; one transaction for a change and its
//! line of the audit; nothing but bound parameters.

use super::*;
use serde_json::json;
use waypost_core::config;
use waypost_core::gate::{Quota, ScopeId};

fn configuration() -> Config {
    let text = "providers: { sim: { dialect: simulated } }\nmodels: { alpha: { endpoints: [{ provider: sim }] } }";
    config::parse(text, &|_| None, jiff::civil::date(2026, 1, 1)).unwrap().config
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::yield_now();
    }
}

fn shares(storage: &Storage) {
    let config = configuration();
    let (one, two) =
        (Control::open(storage, Missing::Create).unwrap(), Control::open(storage, Missing::Refuse).unwrap());
    assert_eq!(one.stored().pepper, two.stored().pepper);
    assert_ne!(one.stored().pepper, Hash::default());
    let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = told.clone();
    two.on_change(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });

    let team = "x'); DELETE FROM client_keys; --";
    let made = one.change_blocking(&config, Command::CreateKey(json!({"id": "a", "team": team})), "cli").unwrap();
    assert_eq!(one.stored().keys.len(), 1, "a change is in force when it returns");
    until("the other one sees it", || two.stored().keys.len() == 1);
    until("who listens is told", || told.load(std::sync::atomic::Ordering::SeqCst) >= 1);
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(two.stored().keys[0].hash, hash(&two.stored().pepper, secret.as_bytes()));
    assert_eq!(two.stored().keys[0].terms["team"], team);

    // The same id at once from both: one is refused, by the database.
    let again = two.change_blocking(&config, Command::CreateKey(json!({"id": "a"})), "cli").unwrap_err();
    assert!(matches!(again, ChangeError::Refused(Refused::Conflict(_))), "{again}");
    let limits = Command::SetLimits("global".to_owned(), json!({"usd_per_day": 1, "concurrency": null}));
    for _ in 0..2 {
        two.change_blocking(&config, limits.clone(), "cli").unwrap();
    }
    one.change_blocking(&config, Command::RevokeKey("a".to_owned()), "admin").unwrap();
    until("both know all", || {
        one.stored().revision == 3 && two.stored().revision == 3 && two.stored().keys[0].revoked_ms.is_some()
    });
    assert_eq!(one.stored().overrides().len(), 1);
    one.change_blocking(&config, Command::UnsetLimits("global".to_owned()), "cli").unwrap();
    assert!(one.stored().limits.is_empty());

    // What was refused, and what was no change, is not in the audit.
    let audit = one.audit_blocking(100).unwrap();
    let shown: Vec<_> = audit.iter().map(|row| (&*row.action, &*row.actor, &*row.target)).collect();
    assert_eq!(
        shown,
        [
            ("limit.unset", "cli", "global"),
            ("key.revoke", "admin", "key/a"),
            ("limit.set", "cli", "global"),
            ("key.create", "cli", "key/a")
        ]
    );
    assert_eq!((audit[3].before.is_none(), audit[0].after.is_none()), (true, true));
    assert!(!audit.iter().any(|row| format!("{row:?}").contains(secret)));
    assert_eq!(one.audit_blocking(1).unwrap(), audit[..1]);
}

#[test]
fn handles_on_one_sqlite_file_share_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    assert!(matches!(Control::open(&Storage::Sqlite(path.clone()), Missing::Refuse), Err(LedgerError::Missing(_))));
    shares(&Storage::Sqlite(path));
}

#[test]
fn handles_on_one_postgres_share_everything() {
    let database = waypost_servers::postgres();
    shares(&Storage::Postgres(waypost_core::units::Secret::new(database.url())));
}

#[test]
fn a_storage_in_memory_is_the_processes_own() {
    let (one, two) = (
        Control::open(&Storage::Memory, Missing::Create).unwrap(),
        Control::open(&Storage::Memory, Missing::Create).unwrap(),
    );
    one.change_blocking(&configuration(), Command::CreateKey(json!({})), "cli").unwrap();
    assert_eq!((one.stored().keys.len(), two.stored().keys.len()), (1, 0));
    check_id(&one.stored().keys[0].id).unwrap();
}

/// Found in review: limits that could not be read any more were as good as none.
#[test]
fn stored_limits_that_cannot_be_read_let_nothing_pass() {
    let row = |scope: &str, body: &str| LimitRow::of_columns(scope.to_owned(), body, 0);
    let limits = vec![
        row("team/a", r#"{"usd_per_day": 1}"#),
        row("team/b", "{"),
        row("team/c", r#"{"usd_per_day": {}}"#),
        row("nobody", "{}"),
    ];
    let overrides = Stored { limits, ..Stored::default() }.overrides();
    let limit = |scope, quota| overrides.get(&ScopeId::parse(scope).unwrap()).unwrap().of(quota);
    assert_eq!(limit("team/a", Quota::RequestsPerMinute), None);
    assert_eq!(limit("team/b", Quota::RequestsPerMinute), Some(Some(0)));
    assert_eq!(limit("team/c", Quota::RequestsPerMinute), Some(Some(0)));
    assert_eq!(overrides.len(), 3);
}
