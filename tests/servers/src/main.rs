//! `with-postgres COMMAND…`: runs a command with a Postgres cluster that all its tests share.

use std::process::{Command, ExitCode};
use waypost_servers::{Cluster, SHARED};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let Some(program) = args.next() else {
        eprintln!("usage: with-postgres COMMAND…");
        return ExitCode::from(2);
    };
    let cluster = Cluster::start();
    match Command::new(&program).args(args).env(SHARED, cluster.url()).status() {
        Ok(status) => u8::try_from(status.code().unwrap_or(1)).unwrap_or(1).into(),
        Err(error) => {
            eprintln!("{}: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}
