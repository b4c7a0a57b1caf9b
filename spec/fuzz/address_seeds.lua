-- address_seeds.lua - what the target of addresses begins with.
-- SPDX-License-Identifier: Apache-2.0
return {
  "http://localhost:8001/a?b#c", "https://[::1]:443/", "http://user:pass@example.org", "http://", "http:///a", "http:a",
  "poll://any@default", "poll://any@default/id", "poll://uni@g", "poll://@g", "poll://g", "gcps://p/t", "bash://",
  "bash://docker/image", "urn:x", "a", ":", "", "1:2", "ws://", "ftp://h", "x+y-z.1:", "HTTP://H", "http://h h", "mailto:a",
}
