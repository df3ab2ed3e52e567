//! nginx with one file, the ceiling of a cached page, and wrk, which asks for either.

use crate::{
    AnyError,
    process::{Process, free_port, wait_for},
};
use std::{
    fs,
    process::{Command, Stdio},
};

pub(crate) struct Nginx {
    port: u16,
    // Stopped before its folder goes.
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Serves these bytes as `/page.html`, from memory as far as it can.
    pub(crate) fn serve(bytes: &[u8]) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        let port = free_port()?;
        fs::create_dir(folder.path().join("www"))?;
        fs::write(folder.path().join("www/page.html"), bytes)?;
        // Its workers would change to a user who cannot read the folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; worker_processes auto; pid {at}/nginx.pid; error_log {at}/error.log;
            events {{ worker_connections 1024; }}
            http {{
                access_log off; default_type text/html; sendfile on; tcp_nopush on; keepalive_requests 100000000;
                open_file_cache max=16; open_file_cache_valid 60s;
                client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
                server {{ listen 127.0.0.1:{port}; root {at}/www; }}
            }}"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config)?;
        let program = if fs::exists("/usr/sbin/nginx")? { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::start(command)?;
        wait_for(port, &mut process)?;
        Ok(Self { port, _process: process, _folder: folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/page.html", self.port)
    }
}

/// Requests a second of one address, as wrk counts them over some seconds.
pub(crate) fn wrk(url: &str, seconds: u32) -> Result<f64, AnyError> {
    let output = Command::new("wrk").args(["-t1", "-c64", &format!("-d{seconds}s"), url]).output();
    let output = output.map_err(|error| format!("wrk does not start ({error}): run ops/bench, which installs it"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let refused = text.lines().find(|line| line.trim_start().starts_with("Non-2xx"));
    if let Some(line) = refused {
        return Err(format!("{url}: {}", line.trim()).into());
    }
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    Ok(rate.ok_or_else(|| format!("wrk gave no rate: {text}"))?.trim().parse()?)
}
