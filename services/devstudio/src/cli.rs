//! The command line: what can be said, and what --help tells about it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use devstudio_kit::telemetry;

use crate::{bench, call, chain, doctor, image, key, migrate, serve, up, user};

/// DevStudio: a self-hosted studio in which people and agents write, run and test code with local models.
///
/// `devstudio up` starts everything on this machine and stays in the foreground. The commands user, key and call
/// speak to a DevStudio that runs with the same data folder on this machine.
#[derive(Debug, Parser)]
#[command(name = "devstudio", version, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// Folder of everything that is kept: database, keys, models, logs.
    /// Without it /var/lib/devstudio for root, else ~/.local/share/devstudio.
    #[arg(long, global = true, env = "DEVSTUDIO_DATA_DIR", value_name = "DIR", verbatim_doc_comment)]
    pub data_dir: Option<PathBuf>,
    /// Logs and traces.
    #[command(flatten, next_help_heading = "Logs and traces")]
    pub telemetry: telemetry::Config,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  devstudio up                                              start, open http://127.0.0.1:8080
  echo 'a long secret' | devstudio user add --email mia@example.org --role dev --password-stdin
  devstudio user limit --email mia@example.org --monthly-tokens 200000
  devstudio key add --email mia@example.org --name laptop   print a new API key
  devstudio call llm.list_models '{}'                       call any method
  devstudio doctor                                          see what this machine lacks";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything on this machine and keep it running.
    Up(up::Args),
    /// Run one or more services in this process; the others are reached by address.
    Serve(Box<serve::Args>),
    /// Bring the database's schema up to this version.
    Migrate(migrate::Args),
    /// Add, list, limit and block people.
    #[command(subcommand)]
    User(user::Command),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Call a method, such as `call llm.chat '{"prompt": "hello"}'`.
    Call(call::Args),
    /// Run chains, with an API key.
    #[command(subcommand)]
    Chain(chain::Command),
    /// Measure what the edge costs, on a DevStudio that runs on this machine.
    Bench(bench::Args),
    /// Make images for the engine micro, without any network.
    #[command(subcommand)]
    Image(image::Command),
    /// Name what this machine lacks for DevStudio, and what to do about it.
    Doctor(doctor::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_data_folder_is_taken_before_and_after_the_subcommand() {
        for line in [
            "devstudio --data-dir /d user list",
            "devstudio user --data-dir /d list",
            "devstudio user list --data-dir /d",
            "devstudio up --data-dir=/d",
            "devstudio call llm.list_models {} --data-dir /d",
        ] {
            let cli = parse(line).expect(line);
            assert_eq!(cli.data_dir, Some("/d".into()), "{line}");
        }
    }

    #[test]
    fn the_fixed_shapes_are_understood() {
        for line in [
            "devstudio user add --email a@b.c --role admin --password-stdin",
            "devstudio user add --email a@b.c --role dev --password-stdin",
            "devstudio user limit --email a@b.c --monthly-tokens 1000",
            "devstudio user block --email a@b.c",
            "devstudio user unblock --email a@b.c",
            "devstudio key add --email a@b.c --name n",
            "devstudio key add --email a@b.c --name n --token-budget 5",
            "devstudio key list --email a@b.c",
            "devstudio serve auth billing edge --mesh-listen unix:/run/core.sock --link-llm http://llm:50055",
            "devstudio doctor --json",
            "devstudio chain run chain.json --input hello --key dsk_x_y",
            "devstudio chain resume 0191e7a0-0000-7000-8000-000000000001 --key dsk_x_y -v",
            "devstudio chain check - --key dsk_x_y",
            "devstudio image build python --output /tmp/python.tar",
            "devstudio migrate --database-url postgres://localhost/devstudio",
        ] {
            parse(line).expect(line);
        }
    }

    #[test]
    fn a_password_is_never_an_argument() {
        let error = parse("devstudio user add --email a@b.c --role dev").expect_err("refused");
        assert!(error.to_string().contains("--password-stdin"), "{error}");
        assert!(parse("devstudio user add --email a@b.c --role dev --password secret").is_err());
    }
}
