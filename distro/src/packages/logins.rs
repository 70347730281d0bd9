//! Passwords of repositories and proxies that the host's own package manager was given.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use percent_encoding::percent_decode_str;

/// Where these stand; in a folder, all of its files.
const PLACES: [&str; 11] = [
    "etc/apt/apt.conf",
    "etc/apt/apt.conf.d",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/dnf/dnf.conf",
    "etc/dnf/libdnf5.conf.d",
    "etc/dnf/repos.override.d",
    "etc/yum.conf",
    "etc/yum.repos.d",
    "etc/sysconfig/proxy",
    "etc/zypp/repos.d",
];
/// Where a `$name` in an address has its value, as a file of that name.
const VARIABLES: [&str; 2] = ["etc/dnf/vars", "etc/yum/vars"];
/// Options whose whole value is a password.
const OPTIONS: [&str; 2] = ["password", "proxy_password"];
/// Users without a password who are no secrets, besides the host's accounts.
const NOBODIES: [&str; 4] = ["root", "anonymous", "admin", "user"];
/// How much of a file is read: nobody's settings are longer.
const MOST: u64 = 1 << 20;

/// What nobody is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secret {
    text: String,
    /// Does it stand where the user does, without a password? Then it may be a token.
    is_user: bool,
}

/// All of them below `root`, as far as we may read them: package managers tell addresses as they stand there.
pub fn passwords(root: &Path) -> Vec<String> {
    let files = PLACES.iter().flat_map(|place| {
        let place = root.join(place);
        let inside = std::fs::read_dir(&place).map(|files| files.flatten().map(|file| file.path()).collect());
        inside.unwrap_or_else(|_| vec![place])
    });
    let mut found: Vec<Secret> = files.filter_map(|file| read(&file)).flat_map(|text| of_text(&text)).collect();
    let values: Vec<Secret> = found.iter().flat_map(|secret| secret.values(root)).collect();
    found.extend(values);
    let accounts = read(&root.join("etc/passwd")).unwrap_or_default();
    let accounts = accounts.lines().filter_map(|line| line.split(':').next());
    let known: BTreeSet<&str> = accounts.chain(NOBODIES).collect();
    found.retain(|secret| !secret.is_user || !known.contains(secret.text.as_str()));
    found.into_iter().map(|secret| secret.text).collect()
}

/// What a regular file begins with; a pipe would be waited for, and a device might have no end.
fn read(path: &Path) -> Option<String> {
    if !path.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl Secret {
    /// What it is by the host's variables, where it is one.
    fn values(&self, root: &Path) -> Vec<Self> {
        let Some(name) = self.text.strip_prefix('$') else { return Vec::new() };
        let name = name.trim_matches(['{', '}']);
        let values = VARIABLES.iter().filter_map(|folder| read(&root.join(folder).join(name)));
        values.map(|value| Self { text: value.trim().to_owned(), ..*self }).collect()
    }
}

/// `url` without its login, and whether it had one.
pub(crate) fn without_login(url: &str) -> (String, bool) {
    let begin = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[begin..].find('/').map_or(url.len(), |at| begin + at);
    match url[begin..end].rsplit_once('@') {
        Some((_, server)) => (format!("{}{server}{}", &url[..begin], &url[end..]), true),
        None => (url.to_owned(), false),
    }
}

/// Those in a file of settings.
fn of_text(text: &str) -> Vec<Secret> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']) && !line.starts_with("//"));
    let mut found = Vec::new();
    for line in lines {
        let (key, value) = setting(line);
        if OPTIONS.contains(&key) {
            found.push(Secret { text: value.to_owned(), is_user: false });
        }
        let addresses = line.match_indices("://").map(|(at, mark)| {
            let scheme = line[..at].rsplit(|mark: char| !mark.is_ascii_alphanumeric()).next().unwrap_or_default();
            (scheme, line[at + mark.len()..].split([' ', '\t']).next().unwrap_or_default())
        });
        let mut secrets: Vec<Secret> = addresses.filter_map(|(scheme, rest)| of_address(scheme, rest)).collect();
        // A proxy is one address, whatever is in its password, and may stand there without a scheme.
        if key.to_ascii_lowercase().ends_with("proxy") {
            let (scheme, rest) = unquoted(value).split_once("://").unwrap_or(("http", unquoted(value)));
            secrets.extend(of_address(scheme, rest));
        }
        secrets.dedup();
        found.extend(secrets);
    }
    found
}

/// Name and value of `name=value` or `name "value"`.
fn setting(line: &str) -> (&str, &str) {
    let equals = line.split_once('=').filter(|(key, _)| !key.contains('"'));
    let (key, value) = equals.or_else(|| line.split_once([' ', '\t'])).unwrap_or(("", line));
    (key.trim(), value.trim())
}

/// `value` without its quotes, and what follows them.
fn unquoted(value: &str) -> &str {
    let quoted = |mark: char| value.strip_prefix(mark)?.split(mark).next();
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

/// The secret in an address, of which `rest` follows the scheme.
fn of_address(scheme: &str, rest: &str) -> Option<Secret> {
    let (login, _) = rest.split('/').next()?.rsplit_once('@')?;
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let is_user = password.is_empty();
    let text = if is_user { user } else { password };
    // Elsewhere a user is no token.
    let is_known = !is_user || ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let text = percent_decode_str(text).decode_utf8_lossy().into_owned();
    is_known.then_some(Secret { text, is_user })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_settings() {
        for (text, wanted) in [
            ("[main]\nproxy=http://jo:s3cr3t@proxy.corp:3128/\n", &["s3cr3t"][..]),
            ("proxy = jo:s3cr3t@proxy.corp:3128\n", &["s3cr3t"]),
            ("proxy=http://proxy.corp:3128\nproxy_username=jo\nproxy_password = a b\n", &["a b"]),
            (
                "[a]\nbaseurl=https://a.example https://jo:p%40ss@b.example/x\n  http://t0ken@c.example/\n",
                &["p@ss", "t0ken"],
            ),
            ("[a]\nbaseurl=https://jo:p@ss@b.example/\nusername=jo\npassword=other\n", &["p@ss", "other"]),
            ("Acquire::http::Proxy \"http://jo:s3cr3t@proxy.corp:3128\";\n", &["s3cr3t"]),
            ("deb [trusted=yes] http://jo:s3cr3t@deb.example/debian stable main\n", &["s3cr3t"]),
            ("HTTP_PROXY=\"http://jo:s3cr3t@proxy.corp:3128\"\n", &["s3cr3t"]),
            ("[a]\nbaseurl=http://jo:a,b'c\"d@b.example/x,http://ju:e@c.example/\n", &["a,b'c\"d", "e"]),
            ("proxy = http://jo:a, 'b\"@proxy.corp:3128/\n", &["a, 'b\""]),
            ("HTTP_PROXY=\"jo:s3c'r3t@proxy\" # of jo@a.example\nNO_PROXY=\"localhost, 127.0.0.1\"\n", &["s3c'r3t"]),
            ("HTTPS_PROXY='http://jo:s3,cr3t@proxy.corp:3128/'\n", &["s3,cr3t"]),
            ("Acquire::http::Proxy \"http://jo:a=b'c@proxy.corp\";\n", &["a=b'c"]),
            ("proxy=t0ken@proxy.corp\nproxy=socks5h://jo@proxy.corp\n", &["t0ken"]),
            ("deb ssh://build@a.example/debian stable main\ndeb tor+http://t0ken@a.example/ x/\n", &["t0ken"]),
            ("# proxy=http://user:password@proxy/\n// http://user:password@proxy\n", &[]),
            ("name=mail jo@example.net\nbaseurl=https://a.example/@x\n", &[]),
        ] {
            let found: Vec<String> = of_text(text).into_iter().map(|secret| secret.text).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn passwords_below_a_root() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| write(root.path(), path, text);
        assert!(passwords(root.path()).is_empty());
        write("etc/dnf/dnf.conf", "[main]\nproxy=http://jo:first@proxy.corp\n");
        write("etc/yum.repos.d/a.repo", "[a]\nbaseurl=http://$user:${word}@a.example\n");
        write("etc/dnf/vars/word", "second\n");
        assert_eq!(passwords(root.path()), ["first", "${word}", "second"]);
        write("etc/dnf/libdnf5.conf.d/10-proxy.conf", "[main]\nproxy_password=third\n");
        write("etc/dnf/repos.override.d/99-config_manager.repo", "[a]\npassword=fourth\n");
        assert_eq!(passwords(root.path()), ["first", "third", "fourth", "${word}", "second"]);
    }

    #[test]
    fn who_is_no_token() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| write(root.path(), path, text);
        write("etc/passwd", "daemon:x:1:1::/:/bin/sh\nbuild:x:1000:1000::/home/build:/bin/sh\n");
        write("etc/dnf/vars/who", "build\n");
        write("etc/dnf/vars/token", "t0ken\n");
        let users = ["build", "root", "anonymous", "admin", "user", "$who", "$token", "other", "jo:build"];
        let lines = users.map(|user| format!("baseurl=https://{user}@a.example/\n"));
        write("etc/yum.repos.d/a.repo", &lines.concat());
        assert_eq!(passwords(root.path()), ["$who", "$token", "other", "build", "t0ken"]);
    }

    #[test]
    fn only_the_beginning_of_regular_files_is_read() {
        let root = tempfile::tempdir().unwrap();
        let padding = "#".repeat(usize::try_from(MOST).unwrap());
        let long = format!("password=first\n{padding}\npassword=second\n");
        write(root.path(), "etc/yum.repos.d/a.repo", &long);
        let pipe = root.path().join("etc/yum.repos.d/b.repo");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(passwords(root.path()), ["first"]);
    }
}
