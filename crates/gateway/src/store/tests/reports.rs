//! Reports agree with a plain computation.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use waypost_core::gate::ScopeId;

/// The line that a report should have, from records alone: `pick` says which of a record's attempts belong to it, and
/// whether the record itself does.
fn line(records: &[&RequestRecord], over_attempts: bool, pick: impl Fn(&AttemptRecord) -> bool) -> Figures {
    let mut f = Figures::default();
    let (mut latency, mut first, mut tried, mut estimated, mut timed) = (Vec::new(), Vec::new(), 0, 0, (0, 0));
    for r in records {
        let picked: Vec<_> = r.attempts.iter().filter(|a| pick(a)).collect();
        let place = |a: &AttemptRecord| (a.model.clone(), a.provider.clone(), a.endpoint.clone());
        let moved: Vec<_> = picked.iter().filter(|a| place(a) != place(&r.attempts[0])).collect();
        if over_attempts {
            f.requests += u64::from(!picked.is_empty());
            tried += picked.len() as u64;
            f.fallbacks += moved.len() as u64;
            for a in &picked {
                match a.outcome {
                    "ok" => f.ok += 1,
                    "cancelled" => f.cancelled += 1,
                    _ => f.errors += 1,
                }
                if a.outcome == "ok" {
                    latency.push(a.duration_us);
                    first.extend(a.first_token_us);
                }
            }
        } else {
            f.requests += 1;
            tried += u64::from(!picked.is_empty());
            f.fallbacks += u64::from(!moved.is_empty());
            match r.outcome {
                RequestOutcome::Ok => f.ok += 1,
                RequestOutcome::Refused => f.refused += 1,
                RequestOutcome::Cancelled => f.cancelled += 1,
                RequestOutcome::Failed | RequestOutcome::Cut => f.errors += 1,
            }
            if r.outcome == RequestOutcome::Ok {
                latency.push(r.duration_us);
                let answered = picked.iter().rfind(|a| a.outcome == "ok");
                first.extend(answered.and_then(|a| a.first_token_us.map(|us| us + a.start_us)));
            }
        }
        for a in &picked {
            f.attempts += 1;
            f.input_tokens += a.usage.input_tokens;
            f.output_tokens += a.usage.output_tokens;
            f.cache_read_tokens += a.usage.cache_read_tokens;
            f.cache_write_tokens += a.usage.cache_write_tokens;
            f.reasoning_tokens += a.usage.reasoning_tokens;
            f.cost_nano_usd += a.cost.map_or(0, |c| c.0);
            f.unpriced_attempts += u64::from(a.cost.is_none());
            estimated += u64::from(a.estimated);
            if a.outcome == "ok" && a.usage.output_tokens > 0 {
                timed = (timed.0 + a.usage.output_tokens, timed.1 + a.duration_us);
            }
        }
        let in_saving = !over_attempts || r.attempts.last().is_some_and(&pick);
        if let (Some(baseline), true, true) = (r.baseline_cost, in_saving, r.attempts.iter().all(|a| a.cost.is_some()))
        {
            f.saving.requests += 1;
            f.saving.baseline_nano_usd += baseline.0;
            f.saving.cost_nano_usd += r.cost.0;
        }
    }
    let share = |a: u64, b: u64| if b == 0 { None } else { Some(a as f64 / b as f64) };
    f.error_rate = share(f.errors, f.ok + f.errors);
    f.fallback_share = share(f.fallbacks, tried);
    f.estimated_share = share(estimated, f.attempts);
    f.output_tokens_per_second = share(timed.0, timed.1).map(|s| s * 1e6);
    (f.latency_ms, f.first_token_ms) = (percentiles(latency), percentiles(first));
    f
}

/// The smallest value that at least so many percent of the values do not exceed.
fn percentiles(us: Vec<u64>) -> Option<Percentiles> {
    let at = |p: f64| {
        let enough = |v: &&u64| us.iter().filter(|x| x <= v).count() as f64 >= p * us.len() as f64;
        us.iter().filter(enough).min().map(|v| *v as f64 / 1e3)
    };
    Some(Percentiles { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
}

/// Names of the groups that `r` belongs to.
fn groups_of(by: By, r: &RequestRecord) -> BTreeSet<Option<String>> {
    let one = |s: Option<&str>| BTreeSet::from([s.map(str::to_owned)]);
    match by {
        By::Model => r.attempts.iter().map(|a| Some(a.model.to_string())).collect(),
        By::Provider => r.attempts.iter().map(|a| Some(a.provider.to_string())).collect(),
        By::Route => one(r.route.as_deref()),
        By::Stage => one(r.stage.as_deref()),
        By::Key => one(r.key.as_deref()),
        By::Team => one(r.team.as_deref()),
        By::Strategy => one(Some(r.strategy)),
        By::Tag if r.tags.is_empty() => one(None),
        By::Tag => r.tags.iter().map(|(k, v)| Some(format!("{k}={v}"))).collect(),
    }
}

#[test]
fn reports_agree_with_a_plain_computation() {
    for (seed, storage, _keep) in (20..23).flat_map(|seed| everywhere().map(|(s, keep)| (seed, s, keep))) {
        if storage == Storage::Memory {
            // It cannot be opened twice.
            continue;
        }
        // Each ledger numbers names anew, as after a restart.
        let all = records(seed, 700);
        for part in all.chunks(300) {
            let ledger = open(&storage);
            write(&ledger, part);
        }
        let reader = Reader::open(&storage).unwrap();
        for (by, since) in By::ALL.into_iter().flat_map(|by| [0, 1_795_132_830_000, i64::MAX].map(|since| (by, since)))
        {
            let report = reader.report(by, since).unwrap();
            let within: Vec<_> = all.iter().filter(|r| r.unix_ms >= since).collect();
            let mut expected: BTreeMap<Option<String>, Vec<&RequestRecord>> = BTreeMap::new();
            for r in &within {
                for group in groups_of(by, r) {
                    expected.entry(group).or_default().push(r);
                }
            }
            let found: BTreeMap<_, _> = report.groups.iter().map(|g| (g.name.clone(), g.figures.clone())).collect();
            assert_eq!(found.len(), report.groups.len(), "a group comes twice");
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{by:?} since {since}");
            for (group, of_group) in &expected {
                let belongs = |a: &AttemptRecord| match by {
                    By::Model => group.as_deref() == Some(&*a.model),
                    By::Provider => group.as_deref() == Some(&*a.provider),
                    _ => true,
                };
                let line = line(of_group, by.over_attempts(), belongs);
                assert_eq!(found[group], line, "seed {seed}, {by:?} {group:?} since {since}");
            }
            assert_eq!(report.total, line(&within, false, |_| true), "seed {seed}, total since {since}");
            let costs: Vec<_> = report.groups.iter().map(|g| g.figures.cost_nano_usd).collect();
            assert!(costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
        }
    }
}

#[test]
fn what_a_scope_has_spent_is_the_sum_of_its_attempts() {
    for (seed, storage, _keep) in (30..32).flat_map(|seed| everywhere().map(|(s, keep)| (seed, s, keep))) {
        let all = records(seed, 400);
        let ledger = open(&storage);
        write(&ledger, &all);
        let reader = ledger.reader().unwrap();
        let named = |by: By| all.iter().flat_map(|r| groups_of(by, r)).flatten().collect::<BTreeSet<_>>();
        let mut scopes = vec![(By::Team, ScopeId::Global), (By::Team, ScopeId::Team("nobody' OR ''='".into()))];
        scopes.extend(named(By::Team).iter().map(|n| (By::Team, ScopeId::Team(n.as_str().into()))));
        scopes.extend(named(By::Key).iter().map(|n| (By::Key, ScopeId::Key(n.as_str().into()))));
        scopes.extend(named(By::Stage).iter().map(|n| (By::Stage, ScopeId::Stage(n.as_str().into()))));
        scopes.extend(named(By::Route).iter().map(|n| (By::Route, ScopeId::Route(n.as_str().into()))));
        scopes.extend(named(By::Model).iter().map(|n| (By::Model, ScopeId::Model(n.as_str().into()))));
        let tags: BTreeSet<_> = all.iter().flat_map(|r| r.tags.clone()).collect();
        scopes.extend(tags.into_iter().map(|(k, v)| (By::Tag, ScopeId::Tag(k, v))));
        for (by, scope) in scopes {
            let name = match &scope {
                ScopeId::Global => None,
                ScopeId::Tag(k, v) => Some(format!("{k}={v}")),
                other => other.to_string().split_once('/').map(|(_, name)| name.to_owned()),
            };
            let of = |r: &&RequestRecord| name.is_none() || groups_of(by, r).contains(&name);
            let counts = |a: &&AttemptRecord| by != By::Model || name.as_deref() == Some(&*a.model);
            let attempts: Vec<_> = all.iter().filter(of).flat_map(|r| r.attempts.iter().filter(counts)).collect();
            let usd: i64 = attempts.iter().filter_map(|a| a.cost).map(|c| c.0).sum();
            let tokens: u64 = attempts.iter().map(|a| a.usage.input_tokens + a.usage.output_tokens).sum();
            assert_eq!(reader.spent(&scope, 0).unwrap(), (usd as u64, tokens), "seed {seed}, {storage:?}, {scope}");
            assert_eq!(reader.spent(&scope, 1_795_232_800_000).unwrap(), (0, 0), "after all of them: {scope}");
        }
    }
}
