//! How hard a request looks, 0 to 1: a sum of saturating features, none of which decides alone. Below 0.35 reads as low,
//! above 0.6 as high. The terms of a hard field weigh most, so that a short hard question is not called simple.

use super::Task;
use super::evidence::Evidence;
use crate::scan::Scan;

/// The score.
pub(super) fn complexity(scan: &Scan, evidence: &Evidence, task: Task) -> f32 {
    let part = |task| match task {
        Task::Chat => 0.0,
        Task::Qa | Task::Translation => 0.03,
        Task::Classification => 0.05,
        Task::Extraction | Task::Summary => 0.10,
        Task::Writing => 0.14,
        Task::Code => 0.22,
        Task::Math => 0.17,
        Task::Reasoning => 0.24,
    };
    // Work on a hard text is not itself as hard: a contract's translation is easier than an opinion on it.
    let carried = match task {
        Task::Translation | Task::Classification | Task::Summary | Task::Extraction => 0.45,
        _ => 1.0,
    };
    let saturating = |x: f32, half: f32| 1.0 - (-x / half).exp();
    let doublings = |x: f32, from: f32, to: f32| ((x.max(1.0) / from).log2() / (to / from).log2()).clamp(0.0, 1.0);
    let mut score = 0.06 + part(task);
    score += 0.56 * carried * saturating(evidence.hard, 2.2);
    score += 0.22 * doublings(scan.stats.bytes as f32, 600.0, 120_000.0);
    score += 0.16 * saturating(evidence.constraints as f32, 6.0);
    score += 0.12 * f32::from(u8::from(scan.reasoning)) + 0.08 * f32::from(u8::from(evidence.think));
    score += 0.06 * f32::from(u8::from(scan.tools > 0)) + 0.08 * saturating(scan.tool_turns as f32, 4.0);
    score += 0.04 * f32::from(u8::from(scan.json_schema));
    score += 0.06 * doublings(scan.messages as f32, 3.0, 40.0);
    if evidence.easy > 0 && evidence.hard < 1.0 && evidence.last_len < 200 {
        score *= 0.6;
    }
    score.clamp(0.0, 1.0)
}
