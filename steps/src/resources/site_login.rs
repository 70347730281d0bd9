//! A login at a site of this host.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distro::net::{HttpAnswer, http_here};
use distro::patience::wait_until;
use distro::{Class, Fault};
use serde_json::json;

use super::paths;
use crate::kinds::offer::Users;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// How long one answer may take, and how long a server may take to see a new password.
const LIMIT: Duration = Duration::from_secs(3);

/// A user of a site is let in. The proof is remembered: the server, too, pays for each password that it looks at.
pub struct SiteLogin {
    /// What is asked for.
    pub url: String,
    /// The name of the site, where it cannot be that of the URL.
    pub site: Option<String>,
    /// Who asks.
    pub users: Users,
}

impl SiteLogin {
    /// Is the user let in? Otherwise why not.
    fn ask(&self) -> Result<Result<(), String>> {
        let (user, password) = &self.users.login;
        Ok(match http_here(&self.url, self.site.as_deref(), Some((user, password)), LIMIT)? {
            Ok(answer) if answer.status == 401 => Err(format!("{user} is refused (status 401)")),
            // nginx cannot read the file of users.
            Ok(answer) if is_nginxs_own(&answer) => Err("the site has an error (status 500)".to_owned()),
            // Others tell of a server behind it, for which it has let the user in.
            Ok(_) => Ok(()),
            Err(silence) => Err(silence.to_string()),
        })
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(file) = distro::files::read(Path::new(&self.users.path))? else {
            return Ok(Probe::Pending(format!("file {}", self.users.path)));
        };
        let (user, password) = &self.users.login;
        let proof = cx.digest(&[self.url.as_bytes(), user.as_bytes(), password.as_bytes(), &file].join(&0));
        let known = cx.memory.seen(cx.id).and_then(|seen| seen["proof"].as_str()) == Some(&proof);
        match if known { Ok(()) } else { self.ask()? } {
            Ok(()) => Ok(Probe::InPlace(json!({ "proof": proof }))),
            Err(why) => {
                let summary = format!("log in as {user} ({why})");
                Ok(Probe::Changes(vec![Change::new("login", summary, Undo::Nothing)]))
            }
        }
    }
}

impl fmt::Debug for SiteLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteLogin").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Does nginx itself tell of an error, in a page of its own?
fn is_nginxs_own(answer: &HttpAnswer) -> bool {
    let page = String::from_utf8_lossy(&answer.body);
    answer.status == 500 && page.contains("<center>nginx")
}

impl Resource for SiteLogin {
    fn sort(&self) -> &'static str {
        "login"
    }

    fn key(&self) -> String {
        self.url.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.users.path, self.look(cx))
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        let mut last = String::new();
        let accepted = wait_until(LIMIT, Duration::from_millis(100), |_| match self.ask()? {
            Ok(()) => Ok(Some(())),
            Err(why) => {
                last = why;
                Ok(None)
            }
        })?;
        accepted.ok_or_else(|| {
            Fault::new(Class::Login, format!("{} does not let the user in that was made for it: {last}", self.url))
                .evidence([format!("users are in {}", self.users.path)])
                .advice("see /var/log/nginx/error.log, and which site nginx has for that name, then run again with --resume")
                .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_server_behind_it_is_none_of_the_login() {
        let own = "<html>\r\n<body>\r\n<center><h1>500 Internal Server Error</h1></center>\r\n<hr><center>nginx</center>\r\n</body>";
        for (status, body, wanted) in
            [(500, own, true), (500, "{\"error\": \"no database yet\"}", false), (502, own, false), (500, "", false)]
        {
            let answer = HttpAnswer { status, headers: Vec::new(), body: body.into(), certificate: None };
            assert_eq!(is_nginxs_own(&answer), wanted, "{status} {body}");
        }
    }
}
