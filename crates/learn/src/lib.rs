//! Waypost's learning: from outcomes (which model answered which prompt how well) to a small predictor of quality, cost
//! and length, and to the figures that say what routing with it is worth. Pure: no IO, clock, environment, global
//! randomness or logging; texts, times and seeds come in as arguments, problems go out as values. Decides nothing: the
//! core does, from what is predicted here.
#![warn(missing_docs)]

pub mod eval;
pub mod features;
pub mod field;
pub mod file;
pub mod grade;
pub mod guarantee;
pub mod heads;
pub mod kept;
pub mod labels;
pub mod length;
pub mod online;
pub mod outcome;
pub mod predictor;
pub mod prior;
pub mod rank;
pub mod retrain;
pub mod rng;
pub mod signals;
pub mod text;
pub mod train;
