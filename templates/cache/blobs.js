// Blobs from a registry in the internet, or from where it redirects to. They are passed on while they arrive.
import fs from 'fs';
import answers from 'answers.js';
import upstream from 'upstream.js';

// Where the pieces of a blob were had last, for a minute: that spares each of them a connection to the registry.
function lastPlace(v) {
    try {
        const file = `/tmp/places/${v.ns}@${v.reference}`;
        return Date.now() - fs.statSync(file).mtimeMs < 60000 ? fs.readFileSync(file).toString() : '';
    } catch (e) {
        return '';
    }
}

function notePlace(v, target) {
    try {
        fs.writeFileSync(`/tmp/places/${v.ns}@${v.reference}`, target);
    } catch (e) {
        // Then the registry is asked again.
    }
}

// GET /blob/NS/NAME/DIGEST, of which one piece is asked for.
async function blob(r) {
    const v = r.variables;
    v.target = lastPlace(v);
    v.authorization = '';
    v.hops = v.target ? '1' : '0';
    v.from_place = v.target;
    if (!v.target) {
        try {
            v.authorization = await upstream.login(r, 'anyone');
        } catch (e) {
            return upstream.refuseAs(r, upstream.answerIn(e));
        }
        v.target = `${v.registry}/v2/${v.name}/blobs/${v.reference}`;
    }
    v.accept = '*/*';
    r.internalRedirect('@blob');
}

function redirected(r) {
    const v = r.variables;
    const target = upstream.follow(r, v.target, v.upstream_http_location);
    v.hops = String(Number(v.hops) + 1);
    if (!target || Number(v.hops) >= upstream.HOPS) {
        return upstream.refuseAs(r, answers.GARBAGE);
    }
    v.target = target;
    v.authorization = '';
    v.from_place = '';
    notePlace(v, target);
    r.internalRedirect('@blob');
}

async function challenged(r) {
    const v = r.variables;
    const wants = v.hops != '0' && !v.authorization && upstream.challenge(r, v.upstream_http_www_authenticate);
    if (!wants) {
        return refused(r);
    }
    const target = v.target;
    const found = await upstream.bearer(r, wants, `repository:${v.name}:pull`);
    if (!found) {
        return upstream.refuseAs(r, 401);
    }
    v.target = target;
    v.authorization = found;
    r.internalRedirect('@blob');
}

// A place that was good a minute ago may not be any more: then the registry is asked.
function refused(r) {
    const v = r.variables;
    notePlace(v, '');
    if (v.from_place) {
        return blob(r);
    }
    const statuses = /([0-9]+)$/.exec(v.upstream_status);  // of each host that was asked
    answers.refuseAs(r, statuses ? Number(statuses[1]) : 504, v.ns, v.name, v.reference);
}

const KEPT = {'content-length': 1, 'content-range': 1, 'content-type': 1};

// Of an upstream's headers only those of the content. Its digest, not what a server calls it, says whether two pieces
// belong together (ngx_http_slice_filter_module, ETag).
function onlyContent(r) {
    for (let name in r.headersOut) {
        if (!KEPT[name.toLowerCase()]) {
            delete r.headersOut[name];
        }
    }
    r.headersOut['ETag'] = `"${r.variables.reference}"`;
    r.headersOut['Docker-Content-Digest'] = r.variables.reference;
}

export default {blob, challenged, onlyContent, redirected, refused};
