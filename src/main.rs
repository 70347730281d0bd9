//! surefoot: puts a product on somebody else's host, step by step, resumable and explained.

mod blueprint;
mod cli;
mod engine;
mod preflight;
mod report;

fn main() {
    distro::net::install_tls_provider();
    std::process::exit(cli::main());
}
