//! Two products that share a web server.

use anyhow::{Result, ensure};
use lab::run::ensure_said;
use lab::{Host, Suite, installed};

fn answers(host: &Host, port: u16) -> Result<String> {
    let get = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3");
    Ok(host.exec(["bash", "-c", &get])?.stdout)
}

/// Runs of all of `blueprints` find everything in place, whichever ran last.
fn settled(host: &Host, blueprints: &[&str]) -> Result<()> {
    for blueprint in blueprints {
        let told = host.install(blueprint)?;
        ensure!(told.changed + told.restarted == 0, "{blueprint}: {told:?}");
    }
    host.surefoot("status --exit-code")?.ok().map(drop)
}

/// A host with `web`, which brought nginx, and then `shop`.
fn both() -> Result<Host> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    let shop = host.install_blueprint("shop")?;
    host.install(&shop)?;
    settled(&host, &["/root/web", &shop])?;
    ensure!(answers(&host, 80)?.contains("is up") && answers(&host, 8080)?.contains("Another site"));
    Ok(host)
}

fn is_installed(host: &Host, package: &str) -> Result<bool> {
    Ok(host.exec(["dpkg-query", "-W", "-f", "${db:Status-Status}", package])?.stdout == "installed")
}

#[test]
fn the_first_goes_and_leaves_the_server_to_the_second() -> Result<()> {
    let host = both()?;
    host.surefoot("uninstall web --purge --yes")?.ok()?;
    ensure!(answers(&host, 8080)?.contains("Another site"), "the other site does not answer");
    ensure!(answers(&host, 80)?.is_empty(), "what was removed still answers");
    ensure!(!is_installed(&host, "redis-server")? && is_installed(&host, "nginx")?);
    settled(&host, &["/root/shop"])?;

    // What it was left, it takes away.
    host.surefoot("uninstall shop --purge --yes")?.ok()?;
    ensure!(!is_installed(&host, "nginx")? && !is_installed(&host, "nginx-common")?);
    ensure!(!host.exists("/etc/nginx")? && !host.exists("/var/lib/surefoot")?);
    Ok(())
}

#[test]
fn the_second_goes_and_leaves_the_server_to_the_first() -> Result<()> {
    let host = both()?;
    host.surefoot("uninstall shop --yes")?.ok()?;
    ensure!(answers(&host, 80)?.contains("is up") && answers(&host, 8080)?.is_empty());
    settled(&host, &["/root/web"])?;
    host.surefoot("uninstall web --purge --yes")?.ok()?;
    ensure!(!is_installed(&host, "nginx")? && !host.exists("/etc/nginx")?);
    Ok(())
}

#[test]
fn one_that_was_uninstalled_is_in_nobodys_way() -> Result<()> {
    let host = both()?;
    // Both plainly: what stays of the first for a purge must not be taken for a claim of it.
    host.surefoot("uninstall web --yes")?.ok()?;
    host.surefoot("uninstall shop --yes")?.ok()?;
    ensure!(!is_installed(&host, "nginx")?, "nobody needs it any more");
    host.surefoot("uninstall shop --purge --yes")?.ok()?;
    host.surefoot("uninstall web --purge --yes")?.ok()?;
    ensure!(!host.exists("/etc/nginx")? && !host.exists("/etc/redis")? && !host.exists("/var/lib/redis")?);
    Ok(())
}

/// A blueprint of one step, in a folder of its name.
fn blueprint(host: &Host, product: &str, step: &str) -> Result<String> {
    host.write_blueprint(product, &format!("[[step]]\n{step}"))
}

#[test]
fn keys_of_one_file_are_each_products_own() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let file = "/etc/login.defs";
    let key = |name: &str, value: &str| {
        format!(
            "id = \"limit\"\nkind = \"key_value\"\npath = \"{file}\"\nformat = \"space\"\nset = {{ {name} = \"{value}\" }}\n"
        )
    };
    let before = host.read(file)?;
    host.install(&blueprint(&host, "one", &key("LOGIN_RETRIES", "7"))?)?;
    host.install(&blueprint(&host, "two", &key("LOGIN_TIMEOUT", "77"))?)?;
    host.surefoot("uninstall one --yes")?.ok()?;
    let values = host.sh(&format!("awk '/^LOGIN_(RETRIES|TIMEOUT)/ {{ print $1, $2 }}' {file}"))?;
    assert_eq!(values, "LOGIN_RETRIES 5\nLOGIN_TIMEOUT 77");
    settled(&host, &["/root/two"])?;
    host.surefoot("uninstall two --purge --yes")?.ok()?;
    assert_eq!(host.read(file)?, before);
    data_that_one_left_is_the_others(&host)
}

/// Two products keep data in one folder; the one that made it is uninstalled, and purged when the other has it.
fn data_that_one_left_is_the_others(host: &Host) -> Result<()> {
    let step = "id = \"data\"\nkind = \"directory\"\npath = \"/srv/shared\"\ndata = true\n";
    let (one, two) = (blueprint(host, "one", step)?, blueprint(host, "two", step)?);
    host.install(&one)?;
    host.write("/srv/shared/of-one", "1\n", 0o644)?;
    host.surefoot("uninstall one --yes")?.ok()?;
    let told = host.install(&two)?;
    ensure!(told.changed == 0, "it is found in place: {told:?}");
    let said = host.surefoot("uninstall one --purge --yes")?.ok()?;
    let said = said.stdout + &said.stderr;
    ensure!(said.contains("two needs it, and owns it from now on"), "{said}");
    ensure!(host.exists("/srv/shared/of-one")? && !host.exists("/var/lib/surefoot/one")?, "{said}");
    settled(host, &[&two])?;
    host.surefoot("uninstall two --purge --yes")?.ok()?;
    ensure!(!host.exists("/srv/shared")? && !host.exists("/var/lib/surefoot")?);
    Ok(())
}

#[test]
fn what_a_renamed_step_made_is_not_pruned() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let step = |id: &str| format!("id = \"{id}\"\nkind = \"file\"\npath = \"/etc/one.conf\"\ncontent = \"1\"\n");
    host.install(&blueprint(&host, "one", &step("old"))?)?;
    let one = blueprint(&host, "one", &step("new"))?;
    host.install(&format!("{one} --prune"))?;
    assert_eq!(host.read("/etc/one.conf")?, "1");
    settled(&host, &[&one])?;

    // What the blueprint does not name any more goes with it, once somebody says so.
    blueprint(&host, "one", "id = \"new\"\nkind = \"file\"\npath = \"/etc/two.conf\"\ncontent = \"2\"\n")?;
    host.install(&one)?;
    let said = host.surefoot(&format!("install {one} --prune"))?.code_is(10)?;
    ensure_said(&said, "there is no terminal to ask on")?;
    ensure!(host.exists("/etc/one.conf")?, "nobody was asked");
    host.install(&format!("{one} --prune"))?;
    ensure!(!host.exists("/etc/one.conf")?);
    settled(&host, &[&one])?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    ensure!(!host.exists("/etc/two.conf")?, "it is the new step's to take away");
    what_was_left_is_put_back(&host)?;
    a_file_of_a_blueprint_becomes_a_folder(&host)
}

/// Two files, one of them there before, are changed by somebody and so stay at an uninstall: the next one puts back what they were then.
fn what_was_left_is_put_back(host: &Host) -> Result<()> {
    let paths = ["/etc/made.conf", "/etc/old.conf"];
    host.write(paths[1], "years ago\n", 0o644)?;
    let step = |path: &str| {
        let id = path.trim_start_matches("/etc/").trim_end_matches(".conf");
        format!("id = \"{id}\"\nkind = \"file\"\npath = \"{path}\"\ncontent = \"ours\\n\"\n")
    };
    let one = blueprint(host, "one", &paths.map(step).join("[[step]]\n"))?;
    host.install(&one)?;
    paths.iter().try_for_each(|path| host.write(path, "theirs\n", 0o644))?;
    let said = host.surefoot("uninstall --yes")?.ok()?;
    ensure!((said.stdout + &said.stderr).matches("was changed since").count() >= 2);
    for end in ["uninstall --yes", "uninstall --purge --yes"] {
        host.install(&one)?;
        for path in paths {
            assert_eq!(host.read(path)?, "ours\n");
        }
        host.surefoot(end)?.ok()?;
        for path in paths {
            assert_eq!(host.read(path)?, "theirs\n", "{path} after {end}");
        }
    }
    Ok(())
}

/// What an earlier version of a blueprint had is in nobody's way.
fn a_file_of_a_blueprint_becomes_a_folder(host: &Host) -> Result<()> {
    let step =
        |source: &str| format!("id = \"it\"\nkind = \"file\"\npath = \"/etc/one.conf\"\nsource = \"{source}\"\n");
    for (source, content) in [("nginx", "1"), ("nginx/site.conf", "2"), ("nginx", "3")] {
        host.sh("rm -rf /root/one/files")?;
        host.write(&format!("/root/one/files/{source}"), content, 0o644)?;
        let one = blueprint(host, "one", &step(source))?;
        host.install(&one)?;
        assert_eq!(host.read("/etc/one.conf")?, content);
        settled(host, &[&one])?;
    }
    host.surefoot("uninstall --purge --yes")?.ok().map(drop)
}
