package abuse_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// spellings are URLs that lead inside; PORT is that of a server there.
var spellings = []string{
	"https://127.0.0.1:PORT/", "http://127.0.0.1:PORT/", "https://127.1:PORT/", "https://2130706433:PORT/", "https://0x7f000001:PORT/", "https://0177.0.0.1:PORT/",
	"https://localhost:PORT/", "https://LOCALHOST.:PORT/", "https://0.0.0.0:PORT/", "https://[::]:PORT/", "https://[::1]:PORT/", "https://[::ffff:127.0.0.1]:PORT/",
	"https://[::ffff:7f00:1]:PORT/", "https://[64:ff9b::7f00:1]:PORT/", "https://[2002:7f00:1::]:PORT/", "https://[fe80::1%25lo]:PORT/", "https://10.0.0.1/",
	"https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "https://168.63.129.16/", "https://100.64.0.1/", "https://127.0.0.1。:PORT/",
}

func webhooks() []abuse {
	refused := func(name, url, want string) abuse {
		return post("SSRF: "+name, "/webhooks", fmt.Sprintf(`{"name":"evil","url":%q}`, url), want)
	}
	dialled := func(name, url, want string) abuse {
		return abuse{name: "SSRF: " + name, want: want, try: func(w *world, c caller) string {
			id, _ := c.webhook(strings.NewReplacer(" ", "-", ",", "").Replace(name), strings.NewReplacer("PORT", strconv.Itoa(int(w.inside.port())), "OUTSIDE", w.outside.url).Replace(url))
			_, class := c.test(id)
			return class
		}}
	}
	const wrong, url = "422 HX-HOOK-020", "422 HX-HOOK-023"
	return []abuse{
		refused("a file", "file:///etc/passwd", url),
		refused("gopher", "gopher://127.0.0.1:6379/_FLUSHALL", url),
		refused("no scheme", "//127.0.0.1/", url),
		refused("a password", "https://public.example@127.0.0.1/", url),
		refused("a line break", "https://example.com/\r\nX-A: b", url),
		refused("a host of nothing", "https://:443/", url),
		{name: "SSRF: spellings of what is inside", want: fmt.Sprintf("%d of %d went nowhere", len(spellings), len(spellings)), try: spelled},
		dialled("a name that has moved inside", "https://rebind.example:PORT/", "blocked"),
		dialled("a name that has moved inside, without TLS", "http://rebind.example:PORT/", "blocked"),
		dialled("a name of the metadata", "https://metadata.example/", "blocked"),
		dialled("a port that is not allowed", "https://93.184.216.34:22/", "blocked"),
		{name: "SSRF: a redirect to what is inside", want: "redirect", try: func(w *world, c caller) string {
			w.outside.mu.Lock()
			w.outside.leads = w.inside.url + "/"
			w.outside.mu.Unlock()
			id, _ := c.webhook("redirect", w.outside.url+"/redirect")
			_, class := c.test(id)
			return class
		}},
		{name: "webhook: a signature that is replayed", want: "valid; another body, another time and an old message are not", try: replayed},
		post("webhook: a template that loops", "/webhooks", `{"name":"loop","url":"https://example.com/","format":"template","template":"[{{range .data}}1{{end}}]"}`, wrong),
		post("webhook: a name that climbs", "/webhooks", `{"name":"../x","url":"https://example.com/"}`, wrong),
	}
}

// spelled calls by each spelling that may be stored.
func spelled(w *world, c caller) string {
	nowhere := 0
	for i, url := range spellings {
		url = strings.ReplaceAll(url, "PORT", strconv.Itoa(int(w.inside.port())))
		got := c.do("POST", "/webhooks", fmt.Sprintf(`{"name":"s%d","url":%q}`, i, url))
		switch {
		case got.status == http.StatusCreated:
			if _, class := c.test(fmt.Sprintf("s%d", i)); class == "blocked" || class == "unreachable" {
				nowhere++
				continue
			}
			c.t.Errorf("%s was reached", url)
		case got.word() == "422 HX-HOOK-023":
			nowhere++
		default:
			c.t.Errorf("%s: %+v", url, got)
		}
	}
	return fmt.Sprintf("%d of %d went nowhere", nowhere, len(spellings))
}

// replayed looks at a message with the published library, as its receiver does.
func replayed(w *world, c caller) string {
	id, secret := c.webhook("signed", w.outside.url+"/signed")
	if delivery, class := c.test(id); class != "" {
		return delivery + " " + class
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	must(c.t, err)
	var m message
	for _, got := range w.outside.got() {
		if verifier.Verify(got.body, got.header) == nil {
			m = got
		}
	}
	if m.body == nil {
		return "no message is valid"
	}
	if verifier.Verify(append([]byte(" "), m.body...), m.header) == nil {
		return "another body is valid"
	}
	old := time.Now().Add(-10 * time.Minute)
	h := m.header.Clone()
	h.Set("Webhook-Timestamp", strconv.FormatInt(old.Unix(), 10))
	if verifier.Verify(m.body, h) == nil {
		return "another time is valid"
	}
	signature, err := verifier.Sign(h.Get("Webhook-Id"), old, m.body)
	must(c.t, err)
	h.Set("Webhook-Signature", signature)
	if verifier.Verify(m.body, h) == nil {
		return "an old message is valid"
	}
	return "valid; another body, another time and an old message are not"
}
