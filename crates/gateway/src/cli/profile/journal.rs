//! What a profile run has so far: one JSON line for each answer, beside the outcome file, written as answers come. A run
//! that was ended in any way goes on from here. Written through to the operating system, not to the disk, line by line:
//! it survives the process, not the machine's loss of power.

use super::super::Failure;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The first line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Version of the format.
    waypost_profile: u32,
    /// Hash of the task file.
    tasks: String,
}

const VERSION: u32 = 1;

/// What came of one task at one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The task.
    pub id: String,
    /// Who answered.
    pub model: String,
    /// 0 to 1; 0 where the call failed.
    pub score: f64,
    /// Whether there was an answer.
    pub success: bool,
    /// Whether it had the form asked for, 0 to 1.
    pub format: f64,
    /// What the grader says, or why the call failed.
    pub why: String,
    /// As billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
    /// As billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
    /// US dollars; absent where the price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// To the whole answer, seen from the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// The answer's text, where it was to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// The file, open for this process alone.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// What is in it.
    pub entries: Vec<Entry>,
}

impl Journal {
    /// Where the journal of an outcome file is.
    pub(super) fn path(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".journal");
        PathBuf::from(name)
    }

    /// Opens the journal at `path` for a task file of this hash, or begins one. A last line that was cut is dropped.
    ///
    /// # Errors
    /// Another process has it; it is of other tasks or another version; a line in its middle is broken.
    pub(super) fn open(path: PathBuf, tasks: &str) -> Result<Self, Failure> {
        let wrong = |what: String| vec![format!("{}: {what}", path.display())];
        let io = |e: std::io::Error| wrong(e.to_string());
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                wrong("another run is writing it; wait for its end or say another --out".into())
            }
            TryLockError::Error(e) => io(e),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let text = std::str::from_utf8(&bytes[..whole]).map_err(|e| wrong(e.to_string()))?;
        let mut lines = text.lines();
        let head = Head { waypost_profile: VERSION, tasks: tasks.to_owned() };
        match lines.next().map(serde_json::from_str::<Head>) {
            None => append(&mut file, &head).map_err(io)?,
            Some(Ok(found)) if found == head => {}
            Some(Ok(found)) if found.waypost_profile == VERSION => {
                return Err(wrong(
                    "its answers are to other tasks: the task file is not the one that it was begun \
                                  with. Say another --out, or remove it to begin anew"
                        .into(),
                ));
            }
            Some(_) => {
                return Err(wrong(
                    "it is no journal of this version of `waypost profile`; say another --out, or \
                                  remove it"
                        .into(),
                ));
            }
        }
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        for (ix, line) in lines.enumerate() {
            let entry: Entry =
                serde_json::from_str(line).map_err(|e| vec![format!("{}:{}: {e}", path.display(), ix + 2)])?;
            if !(0.0..=1.0).contains(&entry.score) || !seen.insert((entry.id.clone(), entry.model.clone())) {
                let what = "a score out of 0 to 1, or an answer that is there twice";
                return Err(vec![format!("{}:{}: {what}; remove the line", path.display(), ix + 2)]);
            }
            entries.push(entry);
        }
        Ok(Self { file, path, entries })
    }

    /// Adds an answer.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), Failure> {
        append(&mut self.file, &entry).map_err(|e| vec![format!("{}: {e}", self.path.display())])?;
        self.entries.push(entry);
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Closing alone leaves the lock with a child that was forked and has not begun its own program yet.
        let _ = self.file.unlock();
    }
}

/// One write, so that a line is whole or cut at its end.
fn append(file: &mut File, line: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    file.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            model: "m".to_owned(),
            score: 1.0,
            success: true,
            format: 1.0,
            why: String::new(),
            input_tokens: Some(3),
            output_tokens: None,
            cost_usd: Some(0.1),
            latency_ms: None,
            answer: None,
        }
    }

    #[test]
    fn it_goes_on_after_any_cut_and_drops_only_the_last_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let mut journal = Journal::open(path.clone(), "h").expect("new");
        for id in ["1", "2"] {
            journal.add(entry(id)).expect("added");
        }
        drop(journal);
        let whole = std::fs::read(&path).expect("there");
        let ends: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] == b'\n').collect();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            let mut journal = Journal::open(path.clone(), "h").expect("opens");
            let lines = ends.iter().filter(|end| **end < cut).count();
            assert_eq!(journal.entries.len(), lines.saturating_sub(1), "cut at {cut}");
            journal.add(entry("new")).expect("added");
            drop(journal);
            let again = Journal::open(path.clone(), "h").expect("opens again");
            assert_eq!(again.entries.last().map(|e| e.id.as_str()), Some("new"), "cut at {cut}");
        }
    }

    #[test]
    fn other_tasks_broken_lines_and_a_second_writer_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let mut journal = Journal::open(path.clone(), "h").expect("new");
        journal.add(entry("1")).expect("added");
        let said = |hash: &str| Journal::open(path.clone(), hash).expect_err("refused")[0].clone();
        assert!(said("h").contains("another run"));
        drop(journal);
        assert!(said("other").contains("other tasks"));
        let good = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, good.replace("\"id\":\"1\"", "\"id\":")).expect("written");
        assert!(said("h").contains("j:2: "));
        let line = good.lines().nth(1).expect("an entry");
        std::fs::write(&path, format!("{good}{line}\n")).expect("written");
        assert!(said("h").contains("j:3: ") && said("h").contains("twice"));
        std::fs::write(&path, "{\"id\":\"x\"}\n").expect("written");
        assert!(said("h").contains("no journal"));
    }
}
