//! A file a subcommand: parse, call, pick the exit code.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use distro::Class;

mod blueprint;
mod context;
#[cfg(test)]
mod docs;
mod endpoints;
mod facts;
mod install;
mod log;
mod mirrors;
mod network;
mod plan;
mod preflight;
mod product;
mod renew;
mod status;
mod uninstall;
mod why;
mod wizard;

pub use context::main;

/// Puts a product on this host, step by step: shows what it would change, changes it, checks each change by looking again, and
/// writes down what it did. Stopped in the middle, it goes on where it stopped.
#[derive(Debug, Parser)]
#[command(name = "surefoot", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Begin with `surefoot blueprint list`, then `surefoot plan NAME`. `surefoot help COMMAND` says more, with \
examples;\n`surefoot --help` lists the exit codes."
)]
pub struct Cli {
    #[command(flatten)]
    talk: Talk,
    #[command(subcommand)]
    command: Command,
}

const OUTPUT: &str = "Output";
const INPUTS: &str = "Inputs";
const NETWORK: &str = "Network";

/// How much is said, and in which form.
#[derive(Debug, Clone, Args)]
struct Talk {
    /// Say only warnings, failures and the outcome
    #[arg(short, long, global = true, env = "SUREFOOT_QUIET", conflicts_with = "verbose", help_heading = OUTPUT)]
    quiet: bool,
    /// Say also what is in place, and every line that commands print
    #[arg(short, long, global = true, env = "SUREFOOT_VERBOSE", help_heading = OUTPUT)]
    verbose: bool,
    /// What stdout gets: text for people, or JSON for programs
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value = "text", env = "SUREFOOT_OUTPUT")]
    #[arg(help_heading = OUTPUT)]
    output: Form,
}

/// Form of what goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// For programs: JSON, or JSON Lines where things happen one after the other.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install a product, or bring an installed one back to what its blueprint says
    ///
    /// A second run changes nothing. After a failure or a kill, `surefoot install --resume` goes on with the blueprint and the
    /// inputs of the interrupted run.
    #[command(after_help = "Examples:
  surefoot install services                          asks for the inputs, shows the plan, asks again
  surefoot install services --yes --answers a.toml   asks nothing
  surefoot install services --yes --set-file redis_password=/root/password
  surefoot install ./my-product                      a blueprint of your own
  surefoot install --resume                          goes on after a failure, a kill or a power cut
  surefoot install --resume --set site=box.example   the same, with an input put right

Inputs are taken from --set and --set-file, SUREFOOT_INPUT_NAME in the environment, the answers file, what an
earlier run kept, what another installation has left, the questions, the blueprint's default; the first that has
one wins. `surefoot blueprint show` lists a blueprint's inputs.

A check that stops an install where it should not is named by `surefoot preflight`, and made a warning by --ignore NAME.
A machine that was copied after the install is asked for --on-clone: keep the generated passwords, or make new ones.")]
    Install(InstallArgs),
    /// Show what install would change, and change nothing; needs no root
    #[command(after_help = "Examples:
  surefoot plan services                     what would change, and where each input comes from
  surefoot plan services -v                  every resource, with the differences in files
  surefoot plan services --out /root/plan    then: surefoot install services --plan /root/plan
  surefoot plan services --exit-code         exit code 2 where something would change

Marks: + is made, ~ is changed, - is removed, = is in place, ? depends on what comes before, ! is hidden from users
other than root.")]
    Plan(PlanArgs),
    /// Check what the host must have, and change nothing
    Preflight(PreflightArgs),
    /// List what on the network an install will reach: hosts, ports, and what for
    Endpoints(EndpointsArgs),
    /// Compare what is on the host with what was installed; needs root
    Status(StatusArgs),
    /// Show the last failure again
    Why(ProductArgs),
    /// Read the log of a run: what was changed, which commands ran, what they said
    #[command(after_help = "Examples:
  surefoot log                  the last run
  surefoot log --step redis     what one step did
  surefoot log --follow         what is going on, from another terminal

Logs are JSON Lines below /var/log/surefoot, the last 20 runs of each product; --json prints them as they are.")]
    Log(LogArgs),
    /// Take a product away: what was made is removed, what was changed is put back, what was there before stays
    #[command(after_help = "Examples:
  surefoot uninstall            shows what goes, and asks
  surefoot uninstall services --yes --purge

Databases, queues and other data stay, unless --purge is given. Packages that were there before stay in any case.")]
    Uninstall(UninstallArgs),
    /// Renew a certificate where it is time to, as its timer does; needs root
    ///
    /// An authority's certificate has such a timer, which needs no blueprint. Where there is nothing to do, it needs no network.
    Renew {
        /// What the certificate is: /etc/surefoot/PRODUCT-STEP.renewal
        file: PathBuf,
    },
    /// Show what surefoot knows of this host
    Facts(FactsArgs),
    /// Check, show or list blueprints
    #[command(subcommand)]
    Blueprint(BlueprintCommand),
    /// Print completions for a shell
    #[command(after_help = "Examples:
  surefoot completions bash >/etc/bash_completion.d/surefoot
  surefoot completions fish >~/.config/fish/completions/surefoot.fish")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Which product, with which inputs.
#[derive(Debug, Clone, Default, Args)]
struct WhatArgs {
    /// A built-in blueprint (surefoot blueprint list), or the path of a blueprint's folder
    #[arg(env = "SUREFOOT_BLUEPRINT")]
    blueprint: Option<String>,
    /// Give an input: NAME=VALUE; not for secrets, which others could see in the process list
    #[arg(long = "set", value_name = "NAME=VALUE", env = "SUREFOOT_SET", help_heading = INPUTS)]
    set: Vec<String>,
    /// Give an input from a file: NAME=PATH, or NAME=- for standard input
    #[arg(long = "set-file", value_name = "NAME=PATH", env = "SUREFOOT_SET_FILE", help_heading = INPUTS)]
    set_file: Vec<String>,
    /// Give inputs in a TOML file, a line `name = value` each
    #[arg(long, value_name = "FILE", env = "SUREFOOT_ANSWERS", help_heading = INPUTS)]
    answers: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

/// How this host reaches others. Without these, the environment counts: http_proxy, https_proxy, all_proxy, no_proxy, in either
/// case. What a run was given is kept for the next.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network")]
struct NetworkArgs {
    /// Reach others by this proxy: http://HOST:PORT, https:// or socks5h://; none for going direct
    #[arg(long, value_name = "URL", env = "SUREFOOT_PROXY", help_heading = NETWORK)]
    proxy: Option<String>,
    /// Log in to the proxy as this user (CORP\user too); the password comes from a file or from SUREFOOT_PROXY_PASSWORD
    #[arg(long, value_name = "USER", env = "SUREFOOT_PROXY_USER", help_heading = NETWORK)]
    proxy_user: Option<String>,
    /// Read the password for the proxy from a file of one line; - is standard input
    #[arg(long, value_name = "PATH", env = "SUREFOOT_PROXY_PASSWORD_FILE", help_heading = NETWORK)]
    proxy_password_file: Option<PathBuf>,
    /// Reach these directly: names, standing for their sub-domains too, and addresses, with commas between
    #[arg(long, value_name = "LIST", env = "SUREFOOT_NO_PROXY", help_heading = NETWORK)]
    no_proxy: Option<String>,
    /// Trust the certificates in this PEM file, too: the CA of a proxy that opens TLS, or of a mirror
    #[arg(long, value_name = "FILE", env = "SUREFOOT_CA_FILE", help_heading = NETWORK)]
    ca_file: Option<PathBuf>,
    /// Ask these mirrors in place of the repositories that the blueprint names: a TOML file (docs/network.md)
    #[arg(long, value_name = "FILE", env = "SUREFOOT_MIRRORS", help_heading = NETWORK)]
    mirrors: Option<PathBuf>,
    /// Let the host itself keep the proxy, for apt and, where it needs no login, for everybody, until the product is uninstalled
    #[arg(long, value_name = "BOOL", env = "SUREFOOT_KEEP_PROXY", help_heading = NETWORK)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = FalseyValueParser::new())]
    keep_proxy: Option<bool>,
}

#[derive(Debug, Clone, Args)]
struct InstallArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// Do not ask before changing anything
    #[arg(short, long, env = "SUREFOOT_YES")]
    yes: bool,
    /// Go on with an interrupted or failed run: its blueprint, its inputs
    #[arg(long, env = "SUREFOOT_RESUME")]
    resume: bool,
    /// Do exactly what this plan says, or nothing (made by surefoot plan --out)
    #[arg(long, value_name = "FILE", env = "SUREFOOT_PLAN")]
    plan: Option<PathBuf>,
    /// Go on in spite of this preflight check, or of all of this word (repeatable): errors become warnings
    #[arg(long, value_name = "NAME", env = "SUREFOOT_IGNORE", value_delimiter = None)]
    ignore: Vec<String>,
    /// Take back what the blueprint no longer names
    #[arg(long, env = "SUREFOOT_PRUNE")]
    prune: bool,
    /// On a copy of the machine that it was installed on: keep the generated secrets, or make new ones
    #[arg(long, value_enum, value_name = "WHAT", env = "SUREFOOT_ON_CLONE")]
    on_clone: Option<OnClone>,
}

#[derive(Debug, Clone, Args)]
struct PreflightArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// Go on in spite of this check, or of all of this word (repeatable): errors become warnings
    #[arg(long, value_name = "NAME", env = "SUREFOOT_IGNORE", value_delimiter = None)]
    ignore: Vec<String>,
}

#[derive(Debug, Clone, Args)]
struct EndpointsArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// Print a line a host, for a request to whoever runs the firewall
    #[arg(long, env = "SUREFOOT_FIREWALL")]
    firewall: bool,
}

/// What to do with generated secrets on a copy of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnClone {
    /// Use them here as well.
    Keep,
    /// Make new ones.
    Renew,
}

#[derive(Debug, Clone, Args)]
struct PlanArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// Write the plan to a file, for install --plan
    #[arg(long, value_name = "FILE", env = "SUREFOOT_OUT")]
    out: Option<PathBuf>,
    /// Exit 2 where something would change
    #[arg(long, env = "SUREFOOT_EXIT_CODE")]
    exit_code: bool,
}

#[derive(Debug, Clone, Args)]
struct StatusArgs {
    /// Name of the product; all where none is given
    #[arg(value_parser = product::named)]
    product: Option<String>,
    /// Exit 2 where something is not as it was installed, or the product that is named is not installed
    #[arg(long, env = "SUREFOOT_EXIT_CODE")]
    exit_code: bool,
}

#[derive(Debug, Clone, Args)]
struct ProductArgs {
    /// Name of the product; the one that ran last where none is given
    #[arg(value_parser = product::named)]
    product: Option<String>,
}

#[derive(Debug, Clone, Args)]
struct LogArgs {
    /// Name of the product; the one that ran last where none is given
    #[arg(value_parser = product::named)]
    product: Option<String>,
    /// Only this step
    #[arg(long, value_name = "STEP", env = "SUREFOOT_STEP")]
    step: Option<String>,
    /// Only this run; the last where none is given
    #[arg(long, value_name = "RUN", env = "SUREFOOT_RUN")]
    run: Option<String>,
    /// Go on showing what is added, until the run ends
    #[arg(short, long, env = "SUREFOOT_FOLLOW")]
    follow: bool,
    /// Print the log's own lines, JSON
    #[arg(long, env = "SUREFOOT_JSON")]
    json: bool,
}

#[derive(Debug, Clone, Args)]
struct UninstallArgs {
    /// Name of the product; may be left out where there is only one
    #[arg(value_parser = product::named)]
    product: Option<String>,
    /// Do not ask before changing anything
    #[arg(short, long, env = "SUREFOOT_YES")]
    yes: bool,
    /// Remove data too (databases, queues), and everything that surefoot knows of the product
    #[arg(long, env = "SUREFOOT_PURGE")]
    purge: bool,
    /// Go on with an interrupted uninstall
    #[arg(long, env = "SUREFOOT_RESUME")]
    resume: bool,
}

#[derive(Debug, Clone, Args)]
struct FactsArgs {
    /// Print JSON
    #[arg(long, env = "SUREFOOT_JSON")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum BlueprintCommand {
    /// Check a blueprint: every error with its file and line
    Validate {
        /// A built-in blueprint, or the path of a blueprint's folder
        blueprint: String,
    },
    /// Show a blueprint's inputs, requirements and steps
    Show {
        /// A built-in blueprint, or the path of a blueprint's folder
        blueprint: String,
    },
    /// Print the JSON Schema of blueprint.toml
    Schema,
    /// List the built-in blueprints
    List,
}

/// The command line, with what holds for all of its flags.
pub fn command() -> clap::Command {
    let codes = Class::ALL.iter().map(|(_, code, name, meaning)| format!("  {code:>3}  {name:12} {meaning}\n"));
    let help = format!(
        "Begin with `surefoot blueprint list`, then `surefoot plan NAME`. `surefoot help COMMAND` has examples of the main ones.\n\n\
         Every flag has a twin in the environment: --answers is SUREFOOT_ANSWERS, --yes is SUREFOOT_YES=1.\n\n\
         Exit codes:\n    0  success: everything was done, and seen to be there\n    \
         2  changes (plan --exit-code) or drift (status --exit-code)\n{}\
         {:5}stopped by SIGINT (Ctrl-C)\n  143  stopped by SIGTERM",
        codes.collect::<String>(),
        "  130  "
    );
    fn everywhere(command: clap::Command) -> clap::Command {
        command.mut_args(flag).mut_subcommands(everywhere)
    }
    everywhere(Cli::command()).after_long_help(help)
}

/// A flag whose help does not show what the environment holds, and whose twin there may be written in any of the usual ways.
fn flag(arg: Arg) -> Arg {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue) && arg.get_env().is_some();
    let arg = arg.hide_env_values(true);
    if is_switch { arg.value_parser(switch) } else { arg }
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "y" | "on" => Ok(true),
        "0" | "false" | "no" | "n" | "off" | "" => Ok(false),
        _ => Err("neither yes nor no: its variable in the environment takes 1 or 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        let switches = ["1", "true", "YES", "on"].map(|text| (text, Ok(true))).into_iter();
        for (text, expected) in switches.chain(["0", "no", "False", ""].map(|text| (text, Ok(false)))) {
            assert_eq!(switch(text), expected, "{text}");
        }
        assert!(switch("perhaps").is_err());
    }

    #[test]
    fn every_flag_has_a_twin_in_the_environment() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
                let Some(long) = arg.get_long() else { continue };
                let twin = format!("SUREFOOT_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(twin.as_str()), "{}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }

    #[test]
    fn a_path_is_no_product() {
        for name in ["", ".", "..", "../../etc", "/root/web", "a/b", "Web"] {
            for what in ["uninstall", "status", "why", "log"] {
                let error = command().try_get_matches_from(["surefoot", what, name]).unwrap_err().to_string();
                assert!(error.contains("no name of a product"), "{what} '{name}': {error}");
            }
        }
        assert!(command().try_get_matches_from(["surefoot", "uninstall", "my-web2"]).is_ok());
    }

    #[test]
    fn help_fits_80_columns_and_shows_no_value() {
        fn check(mut command: clap::Command) {
            for help in [command.render_help(), command.render_long_help()] {
                let help = help.to_string();
                assert!(!help.contains("=]"), "{help}");
            }
            command.get_subcommands().cloned().for_each(check);
        }
        check(command());
        let args = ["surefoot", "install", "services", "--yes", "-q"];
        let cli = Cli::from_arg_matches(&command().try_get_matches_from(args).unwrap()).unwrap();
        assert!(cli.talk.quiet && matches!(cli.command, Command::Install(args) if args.yes && !args.resume));
    }
}
