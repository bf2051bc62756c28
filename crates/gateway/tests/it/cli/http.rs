//! A raw HTTP/1.1 client on a blocking socket: it sends what it is told to, right or wrong, and reads strictly.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing that a test waits for takes so long: a guard against hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub(super) struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// A response; the body is whole, except of [`Client::head`].
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The model that answered, of a good answer.
    #[track_caller]
    pub(super) fn model(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        self.header("x-waypost-model").expect("every answer names its model").to_owned()
    }

    pub(super) fn request_id(&self) -> String {
        self.header("x-waypost-request-id").expect("every reply has an id").to_owned()
    }

    fn chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: connect(address) }
    }

    /// Bytes as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// A request with a body in one piece.
    pub(super) fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        self.send(&[head.as_bytes(), body].concat()).unwrap();
        self.reply()
    }

    pub(super) fn get(&mut self, path: &str) -> Reply {
        self.call("GET", path, &[], b"")
    }

    /// A JSON body to a path.
    pub(super) fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.call("POST", path, &headers, body.as_bytes())
    }

    pub(super) fn chat(&mut self, headers: &[(&str, &str)], body: &str) -> Reply {
        self.post("/v1/chat/completions", headers, body)
    }

    /// The next response, whole.
    #[track_caller]
    pub(super) fn reply(&mut self) -> Reply {
        self.try_reply().unwrap_or_else(|e| panic!("no whole response: {e}"))
    }

    /// The next response, or how the connection broke.
    pub(super) fn try_reply(&mut self) -> std::io::Result<Reply> {
        let head = self.head()?;
        self.body_of(head)
    }

    /// The rest of a response whose head was read.
    pub(super) fn body_of(&mut self, mut reply: Reply) -> std::io::Result<Reply> {
        if reply.chunked() {
            while let Some(chunk) = self.chunk()? {
                reply.body.extend(chunk);
            }
        } else if let Some(length) = reply.header("content-length") {
            reply.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut reply.body)?;
        }
        if reply.closes() {
            // A connection that the server is closing takes no more requests.
            if let Ok(stream) = try_connect(self.address) {
                self.stream = stream;
            }
        }
        Ok(reply)
    }

    /// Status and headers of the next response.
    pub(super) fn head(&mut self) -> std::io::Result<Reply> {
        let status = self.line()?;
        let status = status.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("not a status line: {status:?}"));
        let status = status[..3].parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Reply { status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("not a header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// The next chunk of a body; `None` at its regular end.
    pub(super) fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(self.line()?.trim(), 16).unwrap();
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        assert_eq!(self.line()?, "", "a chunk ends with a line break");
        Ok((size > 0).then_some(chunk))
    }

    /// A line without its CRLF.
    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => {
                Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, format!("the connection ended: {line:?}")))
            }
        }
    }

    /// Whether the server has closed the connection, once everything sent was read. Blocks until it says something.
    pub(super) fn at_end(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]))
    }
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    try_connect(address).unwrap()
}

fn try_connect(address: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// A chat request with one user message, and what else is to be in it.
pub(super) fn chat(model: &str, prompt: &str, more: Value) -> String {
    let mut body = serde_json::json!({"model": model, "messages": [{"role": "user", "content": prompt}]});
    let members = more.as_object().cloned().unwrap_or_default();
    body.as_object_mut().unwrap().extend(members);
    body.to_string()
}
