//! Control arms: what a router must beat to be worth having. Random, the best single model, static mixing and prompt
//! length need no learning; the oracle cannot be had. None is fitted: static mixing and length know the single models' means
//! over the judged rows, as every share that an operator would set by hand does.

use super::curve::{Choices, Hull, LAMBDAS, Point, argmax};
use super::many::best_single;
use super::panel::{ARMS, Arm, BEST_SINGLE, LENGTH, ORACLE, Panel, Plan, RANDOM, STATIC};
use super::sample::Sample;
use super::two_model::{Ranking, Roles};
use crate::outcome::Row;

/// A panel of the router and all controls.
pub(crate) fn panel<'a>(sample: &'a Sample, rows: &[Row], router: Arm, roles: Option<Roles>) -> Panel<'a> {
    let oracle = Choices::new(&sample.score, &sample.cost);
    // A ranking of equals is mixing at random: the straight line between the weak and the strong model.
    let blind = || roles.map(|roles| Ranking::new(&vec![0.0; sample.len()], &sample.score, roles));
    let arm = |plan, ranking| Some(Arm { plan, ranking, reliability: None });
    let singles = singles(sample);
    let mut arms: [Option<Arm>; ARMS] = [const { None }; ARMS];
    arms[super::panel::ROUTER] = Some(router);
    arms[RANDOM] = arm(Plan::Uniform, blind());
    // One model for all has no share to turn: nothing is ranked.
    arms[BEST_SINGLE] = arm(Plan::Single(best_single(&singles)), None);
    arms[STATIC] = arm(Plan::Mixtures, blind());
    arms[LENGTH] = lengths(sample, rows).map(|lengths| Arm {
        plan: Plan::Choices(by_length(&lengths, &singles)),
        ranking: roles.map(|roles| {
            // Short prompts go to the cheaper of the two.
            let sign = if singles[roles.strong].cost >= singles[roles.weak].cost { 1.0 } else { -1.0 };
            let gain: Vec<f64> = lengths.iter().map(|l| sign * l).collect();
            Ranking::new(&gain, &sample.score, roles)
        }),
        reliability: None,
    });
    let truth = roles.map(|roles| Ranking::by_quality(&sample.score, &sample.score, roles));
    arms[ORACLE] = arm(Plan::Choices(Vec::new()), truth); // The panel keeps its choices: all are judged beside it.
    Panel { sample, oracle, arms }
}

/// Each model's mean cost and quality.
pub(crate) fn singles(sample: &Sample) -> Vec<Point> {
    let (cost, quality) = (sample.cost.means(), sample.score.means());
    cost.into_iter().zip(quality).map(|(cost, quality)| Point { cost, quality }).collect()
}

/// Each row's length: characters of the prompt, or billed tokens where no prompt was kept. `None` where neither is known.
fn lengths(sample: &Sample, rows: &[Row]) -> Option<Vec<f64>> {
    let of = |length: fn(&Row) -> f64| {
        let all: Vec<f64> = sample.rows.iter().map(|&i| length(&rows[i])).collect();
        all.iter().any(|l| *l > 0.0).then_some(all)
    };
    let tokens = |row: &Row| row.outcomes.values().find_map(|o| o.input_tokens).map_or(0.0, f64::from);
    of(|row| row.prompt.chars().count() as f64).or_else(|| of(tokens))
}

/// Static mixing that looks at length: it too moves along the hull of the single models, from the cheapest corner to the
/// best, but at each share the longest prompts go to the dearer of the two neighbours.
fn by_length(lengths: &[f64], singles: &[Point]) -> Vec<Vec<u32>> {
    let corner = |p: &Point| singles.iter().position(|s| s == p).unwrap_or(0) as u32;
    let ladder: Vec<u32> = Hull::new(singles).corners().iter().map(corner).collect();
    let mut sorted = lengths.to_vec();
    sorted.sort_by(f64::total_cmp);
    let steps = ladder.len().saturating_sub(1).max(1);
    let cuts = (LAMBDAS / steps).clamp(1, sorted.len());
    let mut columns = vec![vec![ladder[0]; lengths.len()]];
    for pair in ladder.windows(2) {
        // From few prompts that are at least as long as the cut to all of them; equal lengths go together.
        for cut in (0..cuts).rev().map(|c| sorted[sorted.len() * c / cuts]) {
            let column = lengths.iter().map(|&l| if l >= cut { pair[1] } else { pair[0] }).collect();
            if columns.last() != Some(&column) {
                columns.push(column);
            }
        }
    }
    columns
}

/// The model that the best-single arm takes for all rows.
pub(crate) fn best_model(sample: &Sample) -> usize {
    best_single(&singles(sample))
}

/// The cheapest point whose quality is enough, the first of equals; where none is, the best point.
pub(crate) fn cheapest_enough(points: &[Point], enough: f64) -> usize {
    let reached: Vec<usize> = (0..points.len()).filter(|&l| points[l].quality >= enough).collect();
    if reached.is_empty() {
        return argmax(points.iter().map(|p| p.quality));
    }
    reached[argmax(reached.iter().map(|&l| -points[l].cost))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_prompts_climb_first_and_equal_ones_together() {
        let singles = [(9.0, 0.9), (1.0, 0.2), (5.0, 0.1)].map(|(cost, quality)| Point { cost, quality });
        // Only the corners of the hull are steps; the third model is dearer than the second and worse.
        let columns = by_length(&[3.0, 8.0, 3.0, 5.0], &singles);
        assert_eq!(columns, [[1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]);
        let one = by_length(&[3.0, 8.0], &singles[..1]);
        assert_eq!(one, [[0, 0]]);
    }

    #[test]
    fn the_cheapest_that_is_enough_else_the_best() {
        let points = [(9.0, 0.9), (5.0, 0.8), (1.0, 0.2)].map(|(cost, quality)| Point { cost, quality });
        assert_eq!([0.95, 0.8, 0.1].map(|enough| cheapest_enough(&points, enough)), [0, 1, 2]);
    }
}
