package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// settings is how the fake behaves. A kind of request is "tokens", "manifests", "blobs" (which redirect) or "cdn".
type settings struct {
	Rate        int64           `json:"rate"`         // bytes per second of all CDN connections together; 0: any
	Delay       int             `json:"delay"`        // milliseconds before each answer
	Status      map[string]int  `json:"status"`       // by kind, instead of an answer; 200 is a page in HTML
	Silent      map[string]bool `json:"silent"`       // by kind: no answer ever
	Cut         int64           `json:"cut"`          // a CDN connection is cut after so many bytes; 0: never
	Wrong       map[string]bool `json:"wrong"`        // digests whose last byte is another
	IgnoreRange bool            `json:"ignore_range"` // the CDN sends all, with 200
	SelfSigned  bool            `json:"self_signed"`
	Down        bool            `json:"down"`       // nothing listens on port 443
	NamesDown   bool            `json:"names_down"` // the name server is silent
	Limit       *int            `json:"limit"`      // GETs of docker.io's manifests without an account, then 429
}

type counters struct {
	Tokens        int   `json:"tokens"`
	AccountTokens int   `json:"account_tokens"` // of them, with an account's password
	ManifestGets  int   `json:"manifest_gets"`  // what docker.io counts
	AccountGets   int   `json:"account_gets"`   // of them, with an account's token
	ManifestHeads int   `json:"manifest_heads"`
	Blobs         int   `json:"blobs"`
	CdnRequests   int   `json:"cdn_requests"`
	CdnBytes      int64 `json:"cdn_bytes"`
	CdnRefused    int   `json:"cdn_refused"` // with an Authorization, or without a signature
}

type state struct {
	sync.Mutex
	settings
	Registries   map[string]*counters `json:"registries"`
	Repositories []string             `json:"repositories"`  // everything that was asked for, by its name
	UnknownNames []string             `json:"unknown_names"` // names that the name server was asked for and has not
	next         time.Time            // when the line of the CDN is free
}

var counted = state{}

func (s *state) reset() {
	s.Lock()
	defer s.Unlock()
	s.Registries, s.Repositories, s.UnknownNames = map[string]*counters{}, []string{}, []string{}
	for _, each := range registries {
		s.Registries[each.name] = &counters{}
	}
}

func (s *state) count(registry string, change func(*counters)) {
	s.Lock()
	defer s.Unlock()
	change(s.Registries[registry])
}

func (s *state) asked(repository string) {
	s.Lock()
	defer s.Unlock()
	if !slices.Contains(s.Repositories, repository) {
		s.Repositories = append(s.Repositories, repository)
	}
}

// name notes a name that was asked for, and returns whether to answer.
func (s *state) name(name string, known bool) bool {
	s.Lock()
	defer s.Unlock()
	if !known && !slices.Contains(s.UnknownNames, name) {
		s.UnknownNames = append(s.UnknownNames, name)
	}
	return !s.NamesDown
}

func (s *state) now() settings {
	s.Lock()
	defer s.Unlock()
	return s.settings
}

// line returns how long to wait until so many bytes are through.
func (s *state) line(bytes int) time.Duration {
	s.Lock()
	defer s.Unlock()
	if s.Rate == 0 {
		return 0
	}
	now := time.Now()
	// A sleep of two milliseconds takes three: what is late by less than a tenth of a second is caught up.
	if earliest := now.Add(-100 * time.Millisecond); s.next.Before(earliest) {
		s.next = earliest
	}
	s.next = s.next.Add(time.Duration(float64(bytes) / float64(s.Rate) * float64(time.Second)))
	return s.next.Sub(now)
}

// control has GET /counters, POST /reset (the counters), POST /settings (all of them; {} is as after the start) and
// POST /images (a list; the answer is what was made).
func control(front *front) http.Handler {
	counted.reset()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, _ *http.Request) {
		counted.Lock()
		defer counted.Unlock()
		json.NewEncoder(w).Encode(&counted)
	})
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) { counted.reset() })
	mux.HandleFunc("POST /settings", func(w http.ResponseWriter, r *http.Request) {
		wanted := settings{}
		if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		counted.Lock()
		before := counted.settings
		counted.settings = wanted
		counted.Unlock()
		if before.Down == wanted.Down && before.SelfSigned == wanted.SelfSigned {
			return
		}
		front.down()
		if !wanted.Down {
			if err := front.up(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	})
	mux.HandleFunc("POST /images", func(w http.ResponseWriter, r *http.Request) {
		var wanted []image
		if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		all := []made{}
		for _, each := range wanted {
			one, err := stored.add(each)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			all = append(all, one)
		}
		json.NewEncoder(w).Encode(all)
	})
	return mux
}
