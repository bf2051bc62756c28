//! The model file: a header, a checksum, a summary that anyone can read, and the numbers. Weights are rounded to bytes
//! where that costs nothing. A file that was cut short, altered or written by another version is refused, never half read.

use crate::features::DENSE;
use crate::field::Field;
use crate::heads::boost::{Boost, LEAVES, SPLITS, Tree};
use crate::heads::grams::{Grams, Rarity};
use crate::heads::linear::{Linear, Scale};
use crate::length::Lengths;
use crate::predictor::{Predictor, Quality, Summary};
use crate::prior::{Label, Priors};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"WAYPOSTM";
/// Raised when features, heads or the layout change: what was learned for others means nothing.
pub const VERSION: u32 = 1;
const HEADER: usize = 24;
/// Rarities are kept in this many steps up to [`MOST_RARE`].
const RARITY_STEPS: f32 = 255.0;
const MOST_RARE: f32 = 16.0;

/// Why a model file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It begins with something else.
    #[error("this is no Waypost model file; `waypost train --out FILE` writes one")]
    Foreign,
    /// It was written by another version.
    #[error(
        "the model file has version {found}, this Waypost reads version {VERSION}; train it again with `waypost train`"
    )]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// It ends early or goes on too long.
    #[error(
        "the model file should have {expected} bytes and has {found}; it was cut short or altered, copy or train it again"
    )]
    Length {
        /// Bytes that its header promises.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// Its checksum does not fit.
    #[error("the model file's checksum does not fit its content; it was altered, copy or train it again")]
    Checksum,
    /// Its content contradicts itself.
    #[error("the model file is damaged: {0}; train it again")]
    Damaged(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Body {
    summary: String,
    belief: f32,
    half_width: Vec<[f32; 10]>,
    quality: FieldFile,
    lengths: Option<LengthsFile>,
}

#[derive(Serialize, Deserialize)]
struct LengthsFile {
    field: FieldFile,
    stretch: Vec<f32>,
    input_per_byte: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct FieldFile {
    outputs: u16,
    base: Vec<f32>,
    labels: Vec<(u64, u32, Vec<f32>)>,
    mean: Vec<f32>,
    inverse: Vec<f32>,
    linear: Option<(Vec<f32>, Vec<f32>)>,
    rarity: Option<Vec<u8>>,
    words: Rounded<i8>,
    splits: Vec<(u16, f32)>,
    leaves: Rounded<i16>,
}

/// Numbers as multiples of a step for each output.
#[derive(Serialize, Deserialize)]
struct Rounded<T> {
    step: Vec<f32>,
    values: Vec<T>,
}

impl Predictor {
    /// The bytes of its file.
    pub fn write(&self) -> Vec<u8> {
        let body = Body {
            summary: serde_json::to_string(&self.summary).unwrap_or_default(),
            belief: self.quality.belief,
            half_width: self.quality.half_width.clone(),
            quality: FieldFile::of(&self.quality.field),
            lengths: self.lengths.as_ref().map(|l| LengthsFile {
                field: FieldFile::of(&l.field),
                stretch: l.stretch.clone(),
                input_per_byte: l.input_per_byte.clone(),
            }),
        };
        let body = postcard::to_stdvec(&body).unwrap_or_default();
        let mut file = Vec::with_capacity(HEADER + body.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        file.extend_from_slice(&(body.len() as u64).to_le_bytes());
        file.extend_from_slice(&body);
        file
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`FileError`], which says what is wrong and what to do.
    pub fn read(file: &[u8]) -> Result<Self, FileError> {
        let word = |at: usize| file.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        if file.len() < HEADER || !file.starts_with(MAGIC) {
            return Err(FileError::Foreign);
        }
        let version = word(8).unwrap_or_default();
        if version != VERSION {
            return Err(FileError::Version { found: version });
        }
        let promised = (u64::from(word(20).unwrap_or_default()) << 32) | u64::from(word(16).unwrap_or_default());
        let body = &file[HEADER..];
        if promised != body.len() as u64 {
            let expected = promised.saturating_add(HEADER as u64);
            return Err(FileError::Length { expected, found: file.len() as u64 });
        }
        if Some(crc32fast::hash(body)) != word(12) {
            return Err(FileError::Checksum);
        }
        let body: Body = postcard::from_bytes(body).map_err(|_| FileError::Damaged("its numbers cannot be read"))?;
        let summary: Summary =
            serde_json::from_str(&body.summary).map_err(|_| FileError::Damaged("its summary cannot be read"))?;
        let models = summary.models.len();
        let quality = Quality { field: body.quality.field(models)?, belief: body.belief, half_width: body.half_width };
        let lengths = match body.lengths {
            Some(l) => Some(Lengths {
                field: l.field.field(models)?,
                stretch: numbers(l.stretch, models)?,
                input_per_byte: numbers(l.input_per_byte, models)?,
            }),
            None => None,
        };
        let widths = quality.half_width.len() == models && quality.half_width.iter().flatten().all(|w| w.is_finite());
        if !(widths && (0.0..=1.0).contains(&quality.belief)) {
            return Err(FileError::Damaged("its intervals are not one set a model"));
        }
        Ok(Self { summary, quality, lengths })
    }

    /// This predictor as its file will have it: what is evaluated is what is shipped.
    ///
    /// # Errors
    /// As [`Predictor::read`]; a predictor that cannot be read back has a number that is none.
    pub fn rounded(&self) -> Result<Self, FileError> {
        Self::read(&self.write())
    }
}

/// The same numbers, if there are so many and each is one.
fn numbers(values: Vec<f32>, count: usize) -> Result<Vec<f32>, FileError> {
    if values.len() == count && values.iter().all(|v| v.is_finite()) {
        Ok(values)
    } else {
        Err(FileError::Damaged("a list of numbers has the wrong length, or holds what is no number"))
    }
}

impl FieldFile {
    fn of(field: &Field) -> Self {
        let outputs = field.outputs;
        let boost = field.boost.iter();
        let trees = boost.clone().flat_map(|b| &b.trees);
        Self {
            outputs: outputs as u16,
            base: field.priors.base.clone(),
            labels: field.priors.of.iter().map(|(l, (change, rows))| (l.0, *rows, change.clone())).collect(),
            mean: field.scale.mean.clone(),
            inverse: field.scale.inverse.clone(),
            linear: field.linear.as_ref().map(|l| (l.bias.clone(), l.weights.clone())),
            rarity: field.grams.as_ref().map(|(rarity, _)| {
                rarity
                    .of
                    .iter()
                    .map(|r| (r / MOST_RARE * RARITY_STEPS).round().clamp(0.0, RARITY_STEPS) as u8)
                    .collect()
            }),
            words: Rounded::<i8>::of(field.grams.as_ref().map_or(&[], |(_, g)| &g.weights), outputs, 127.0, |v| {
                v as i8
            }),
            splits: trees.flat_map(|t| t.feature.iter().copied().zip(t.above)).collect(),
            leaves: Rounded::<i16>::of(field.boost.as_ref().map_or(&[], |b| &b.leaves), outputs, 32767.0, |v| v as i16),
        }
    }

    fn field(self, models: usize) -> Result<Field, FileError> {
        let outputs = usize::from(self.outputs);
        if outputs != models || models == 0 {
            return Err(FileError::Damaged("it does not say something of every model"));
        }
        let mut priors = Priors { base: numbers(self.base, outputs)?, ..Priors::default() };
        for (label, rows, change) in self.labels {
            priors.of.insert(Label(label), (numbers(change, outputs)?, rows));
        }
        let mut field = Field::of_priors(priors, outputs);
        if let Some((bias, weights)) = self.linear {
            field.scale = Scale { mean: numbers(self.mean, DENSE)?, inverse: numbers(self.inverse, DENSE)? };
            let (bias, weights) = (numbers(bias, outputs)?, numbers(weights, DENSE * outputs)?);
            field.linear = Some(Linear { outputs, bias, weights });
        }
        if let Some(rarity) = self.rarity {
            if !rarity.len().is_power_of_two() {
                return Err(FileError::Damaged("its words are not a power of two of buckets"));
            }
            let of: Vec<f32> = rarity.iter().map(|r| f32::from(*r) * MOST_RARE / RARITY_STEPS).collect();
            let weights = self.words.numbers(outputs, of.len() * outputs, |v| f32::from(*v))?;
            field.grams = Some((Rarity { of }, Grams { outputs, weights }));
        }
        if !self.splits.is_empty() {
            field.boost = Some(trees(&self.splits, &self.leaves, outputs)?);
        }
        Ok(field)
    }
}

fn trees(splits: &[(u16, f32)], leaves: &Rounded<i16>, outputs: usize) -> Result<Boost, FileError> {
    let trees: Vec<Tree> = splits
        .chunks_exact(SPLITS)
        .map(|splits| Tree {
            feature: std::array::from_fn(|ix| splits[ix].0),
            above: std::array::from_fn(|ix| splits[ix].1),
        })
        .collect();
    let known = splits.len().is_multiple_of(SPLITS)
        && splits.iter().all(|(feature, above)| usize::from(*feature) < DENSE && !above.is_nan());
    if !known {
        return Err(FileError::Damaged("a tree splits on what is no feature"));
    }
    let leaves = leaves.numbers(outputs, trees.len() * LEAVES * outputs, |v| f32::from(*v))?;
    Ok(Boost { outputs, trees, leaves })
}

impl<T> Rounded<T> {
    fn of(values: &[f32], outputs: usize, largest: f32, to: fn(f32) -> T) -> Self {
        let mut step = vec![0f32; outputs];
        for values in values.chunks_exact(outputs) {
            for (step, value) in step.iter_mut().zip(values) {
                *step = step.max(value.abs() / largest);
            }
        }
        let round = |(ix, v): (usize, &f32)| {
            let step = step[ix % outputs];
            to(if step > 0.0 { (v / step).round() } else { 0.0 })
        };
        let values = values.iter().enumerate().map(round).collect();
        Self { step, values }
    }

    fn numbers(&self, outputs: usize, count: usize, from: fn(&T) -> f32) -> Result<Vec<f32>, FileError> {
        let step = numbers(self.step.clone(), outputs)?;
        numbers(self.values.iter().enumerate().map(|(ix, v)| from(v) * step[ix % outputs]).collect(), count)
    }
}
