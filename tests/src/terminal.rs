//! A program in a host with a terminal, and somebody who reads and types.

use crate::{run::Run, tool};
use anyhow::{Result, bail};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// A terminal of 100 columns and 30 lines with a program in it, played by tmux.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
    code: PathBuf,
}

impl Run<'_> {
    /// Starts it in a terminal.
    ///
    /// # Errors
    /// When tmux refuses.
    pub fn in_terminal(self) -> Result<Terminal> {
        let run = if self.has_env("TERM", "dumb") { self.env("TERM", "screen-256color") } else { self };
        let host = run.host();
        let socket = host.record().dir().join(format!("tmux-{}", host.next_run()));
        let terminal = Terminal { code: socket.with_extension("code"), socket };
        let mut args: Vec<String> =
            ["-f", "/dev/null", "set-option", "-wg", "remain-on-exit", "on", ";"].map(str::to_owned).into();
        args.extend(["new-session", "-d", "-x", "100", "-y", "30", "sh", "-c", SHELL].map(str::to_owned));
        args.push(terminal.code.display().to_string());
        args.extend(run.words()?.into_iter().map(plain));
        terminal.tmux(&args)?;
        Ok(terminal)
    }
}

/// Runs the program and writes down its exit code; the terminal stays as the program left it. Ctrl-C is the program's business.
const SHELL: &str = r#"trap : INT QUIT; "$@"; echo $? >"$0.new"; mv "$0.new" "$0"; exec sleep 86400"#;

/// A semicolon at the end of a word would end tmux's command.
fn plain(word: String) -> String {
    word.strip_suffix(';').map_or(word.clone(), |head| format!("{head}\\;"))
}

impl Terminal {
    /// What is on the screen.
    ///
    /// # Errors
    /// When tmux refuses.
    pub fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Whether the cursor can be seen.
    ///
    /// # Errors
    /// When tmux refuses.
    pub fn shows_cursor(&self) -> Result<bool> {
        Ok(self.tmux(&["display-message", "-p", "#{cursor_flag}"])?.trim() == "1")
    }

    /// Whether anything on the screen has a colour.
    ///
    /// # Errors
    /// When tmux refuses.
    pub fn is_coloured(&self) -> Result<bool> {
        Ok(self.tmux(&["capture-pane", "-p", "-e"])?.contains('\u{1b}'))
    }

    /// Types text, letter by letter.
    ///
    /// # Errors
    /// When tmux refuses.
    pub fn text(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", "--", text]).map(drop)
    }

    /// Presses a key, by tmux's name: `Enter`, `Up`, `C-c`.
    ///
    /// # Errors
    /// When tmux refuses.
    pub fn key(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// Waits until the screen shows `text`, and returns the screen.
    ///
    /// # Errors
    /// When it does not show in time.
    pub fn wait_for(&self, text: &str, patience: Duration) -> Result<String> {
        self.wait_until(&format!("{text:?} on the screen"), patience, |screen| screen.contains(text))
    }

    /// Waits for the program's end, and returns its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait_for_end(&self, patience: Duration) -> Result<i32> {
        let deadline = Instant::now() + patience;
        loop {
            match std::fs::read_to_string(&self.code) {
                Ok(code) => return Ok(code.trim().parse()?),
                Err(_) if Instant::now() > deadline => bail!("the program runs on; the screen:\n{}", self.screen()?),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Another size.
    ///
    /// # Errors
    /// When tmux refuses.
    pub fn resize(&self, columns: u16, lines: u16) -> Result<()> {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]).map(drop)
    }

    /// The line drops, as an SSH session does: the program gets SIGHUP and its terminal is gone.
    pub fn hang_up(self) {}

    fn wait_until(&self, what: &str, patience: Duration, holds: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            let screen = self.screen()?;
            if holds(&screen) {
                return Ok(screen);
            }
            if Instant::now() > deadline {
                bail!("no {what} after {} s:\n{screen}", patience.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn tmux<S: AsRef<str>>(&self, args: &[S]) -> Result<String> {
        let socket = self.socket.display().to_string();
        let words = ["-S", &socket].into_iter().chain(args.iter().map(AsRef::as_ref));
        tool::tool("tmux", words)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}
