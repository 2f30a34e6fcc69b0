package main

import (
	"io"
	"net/http"
	"strings"
	"time"
)

var epoch = time.Unix(1_700_000_000, 0)

func cdn(w http.ResponseWriter, r *http.Request, found *registry) {
	counted.count(found.name, func(c *counters) { c.CdnRequests++ })
	if disturbed(w, r, "cdn") {
		return
	}
	if r.Header.Get("Authorization") != "" || r.URL.Query().Get("sig") == "" { // as S3 does of a signed URL
		counted.count(found.name, func(c *counters) { c.CdnRefused++ })
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	digest := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	stored.Lock()
	blob := stored.blobs[digest]
	stored.Unlock()
	if blob == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	now := counted.now()
	if now.IgnoreRange {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", `"`+digest+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Set-Cookie", "seen=1")
	w.Header().Set("Cache-Control", "private, no-store")
	var body io.ReadSeeker = blob.reader()
	if now.Wrong[digest] {
		body = &wrong{blob.reader()}
	}
	http.ServeContent(&held{w, found.name, now.Cut}, r, "", epoch, body)
}

// wrong changes the last byte.
type wrong struct{ *io.SectionReader }

func (w *wrong) Read(p []byte) (int, error) {
	n, err := w.SectionReader.Read(p)
	if at, _ := w.Seek(0, io.SeekCurrent); n > 0 && at == w.Size() {
		p[n-1] ^= 1
	}
	return n, err
}

// held writes at the rate of the line that all share, and counts.
type held struct {
	http.ResponseWriter
	registry string
	left     int64 // until the connection is cut; 0: never
}

func (h *held) Write(p []byte) (int, error) {
	time.Sleep(counted.line(len(p)))
	n, err := h.ResponseWriter.Write(p)
	counted.count(h.registry, func(c *counters) { c.CdnBytes += int64(n) })
	if h.left > 0 {
		if h.left -= int64(n); h.left <= 0 {
			panic(http.ErrAbortHandler)
		}
	}
	return n, err
}
