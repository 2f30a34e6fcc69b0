package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// registry is one of the public ones: the name in images, the host that answers, where it gives tokens, and the host
// of its CDN. With `hop` the host redirects everything there, and that host's redirects are relative.
type registry struct{ name, host, realm, service, cdn, hop string }

var registries = []registry{
	{"docker.io", "registry-1.docker.io", "https://auth.docker.io/token", "registry.docker.io", "production.cloudfront.docker.com", ""},
	{"ghcr.io", "ghcr.io", "https://ghcr.io/token", "ghcr.io", "pkg-containers.githubusercontent.com", ""},
	{"quay.io", "quay.io", "https://quay.io/v2/auth", "quay.io", "cdn01.quay.io", ""},
	{"registry.k8s.io", "registry.k8s.io", "", "", "europe-west3-docker.pkg.dev", "europe-west3-docker.pkg.dev"},
}

// ACCOUNT and PASSWORD are the only account, and it may read the private repositories of every registry.
const ACCOUNT, PASSWORD = "me", "hub-access-token"

const tokenSeconds = 300

func (r *registry) hosts() []string {
	found := []string{r.host, r.cdn}
	if realm, _, ok := strings.Cut(strings.TrimPrefix(r.realm, "https://"), "/"); ok && realm != r.host {
		found = append(found, realm)
	}
	return found
}

func find(host string) *registry {
	for i := range registries {
		if slices.Contains(registries[i].hosts(), host) {
			return &registries[i]
		}
	}
	return nil
}

type grant struct {
	scope   string
	account bool
	ends    time.Time
}

var grants sync.Map // by token

var target = regexp.MustCompile(`^/v2/(?:k8s-artifacts-prod/images/)?(.+)/(manifests|blobs)/([^/]+)$`)

// fail answers as registries do (distribution-spec, "Error Codes").
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// disturbed waits as the settings say, and returns whether it answered already.
func disturbed(w http.ResponseWriter, r *http.Request, kind string) bool {
	now := counted.now()
	time.Sleep(time.Duration(now.Delay) * time.Millisecond)
	if now.Silent[kind] {
		<-r.Context().Done()
		return true
	}
	switch status := now.Status[kind]; status {
	case 0:
		return false
	case http.StatusOK:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>Welcome to this network</html>")
	case http.StatusTooManyRequests:
		fail(w, status, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
	default:
		fail(w, status, "UNKNOWN", http.StatusText(status))
	}
	return true
}

func answer(w http.ResponseWriter, r *http.Request) {
	found := find(r.Host)
	switch {
	case found == nil:
		fail(w, http.StatusMisdirectedRequest, "UNKNOWN", r.Host)
	case found.realm != "" && "https://"+r.Host+r.URL.Path == found.realm:
		token(w, r, found)
	case r.Host == found.cdn && !strings.HasPrefix(r.URL.Path, "/v2/"):
		cdn(w, r, found)
	case r.Host == found.host || r.Host == found.hop:
		api(w, r, found)
	default:
		fail(w, http.StatusNotFound, "UNKNOWN", r.URL.Path)
	}
}

func token(w http.ResponseWriter, r *http.Request, found *registry) {
	name, password, given := r.BasicAuth()
	counted.count(found.name, func(c *counters) {
		c.Tokens++
		if given {
			c.AccountTokens++
		}
	})
	if disturbed(w, r, "tokens") {
		return
	}
	if given && (name != ACCOUNT || password != PASSWORD) {
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	scope := r.URL.Query().Get("scope")
	if r.URL.Query().Get("service") != found.service {
		fail(w, http.StatusBadRequest, "UNSUPPORTED", "unknown service")
		return
	}
	repository := found.name + "/" + strings.TrimSuffix(strings.TrimPrefix(scope, "repository:"), ":pull")
	if found.name == "ghcr.io" && !given && !readable(repository) {
		fail(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		return
	}
	made := rand.Text()
	grants.Store(made, grant{scope, given, time.Now().Add(tokenSeconds * time.Second)})
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"token":%q,"access_token":%q,"expires_in":%d}`, made, made, tokenSeconds)
}

// readable returns whether everybody may read a repository.
func readable(repository string) bool {
	stored.Lock()
	defer stored.Unlock()
	return stored.known[repository] && !stored.private[repository]
}

func api(w http.ResponseWriter, r *http.Request, found *registry) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	parts := target.FindStringSubmatch(r.URL.Path)
	scope, repository := "", ""
	if parts != nil {
		scope, repository = "repository:"+parts[1]+":pull", found.name+"/"+parts[1]
		counted.asked(repository)
	}
	if found.hop != "" && r.Host == found.host {
		http.Redirect(w, r, "https://"+found.hop+strings.Replace(r.URL.Path, "/v2/", "/v2/k8s-artifacts-prod/images/", 1),
			http.StatusTemporaryRedirect)
		return
	}
	account := false
	if found.realm != "" {
		held, _ := grants.Load(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		granted, ok := held.(grant)
		account = granted.account
		if !ok || granted.scope != scope || granted.ends.Before(time.Now()) || (!account && parts != nil && !readable(repository)) {
			challenge := fmt.Sprintf(`Bearer realm=%q,service=%q`, found.realm, found.service)
			if scope != "" {
				challenge += fmt.Sprintf(`,scope=%q`, scope)
			}
			w.Header().Set("WWW-Authenticate", challenge)
			fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		}
	}
	switch {
	case parts == nil:
		fmt.Fprint(w, "{}")
	case found.realm == "" && !readable(repository):
		fail(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
	case parts[2] == "manifests":
		manifests(w, r, found, repository, parts[3], account)
	default:
		blobs(w, r, found, repository, parts[3])
	}
}

func manifests(w http.ResponseWriter, r *http.Request, found *registry, repository, reference string, account bool) {
	limited := false
	counted.count(found.name, func(c *counters) {
		if r.Method == http.MethodHead {
			c.ManifestHeads++
			return
		}
		c.ManifestGets++
		if account {
			c.AccountGets++
		}
		limited = found.name == "docker.io" && counted.Limit != nil && c.ManifestGets-c.AccountGets > *counted.Limit && !account
	})
	if disturbed(w, r, "manifests") {
		return
	}
	if limited {
		fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
		return
	}
	digest := stored.find(repository, reference)
	stored.Lock()
	body, kind := stored.manifests[digest], stored.types[digest]
	stored.Unlock()
	if body == nil || !strings.Contains(strings.Join(r.Header.Values("Accept"), ","), kind) {
		fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	if counted.now().Wrong[digest] {
		body = append(slices.Clone(body[:len(body)-1]), ' ')
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

func blobs(w http.ResponseWriter, r *http.Request, found *registry, repository, digest string) {
	counted.count(found.name, func(c *counters) { c.Blobs++ })
	if disturbed(w, r, "blobs") {
		return
	}
	if stored.find(repository, digest) == "" {
		fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	to := "/artifacts-downloads/" + digest + "?sig=" + rand.Text()
	if found.hop == "" {
		to = "https://" + found.cdn + to
	}
	w.Header().Set("Location", to) // http.Redirect would make a relative one absolute
	w.WriteHeader(http.StatusTemporaryRedirect)
}
