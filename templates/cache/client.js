// Which registry in the internet a client means, and what a tag of it means.
import answers from 'answers.js';

const COMPONENT = '[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*';
const PATH = new RegExp(`^/v2/(${COMPONENT}(?:/${COMPONENT})*)/(manifests|blobs)/([^/]+)$`);
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const HUB = 'docker.io';

// containerd names the registry as ns. CRI-O and Podman begin the path with it. Docker's mirrors are of docker.io alone.
function wanted(r) {
    const path = PATH.exec(r.uri);
    if (!path) {
        return null;
    }
    const upstreams = r.variables.upstreams.split(' ');
    const slash = path[1].indexOf('/');
    const first = path[1].slice(0, slash);
    const named = !r.args.ns && slash > 0 && upstreams.indexOf(first) >= 0;
    // A first part with a dot is a registry's, and none of Docker Hub's names (distribution/reference, normalize.go).
    const ns = String(r.args.ns || (first.indexOf('.') >= 0 ? first : HUB));
    let name = named ? path[1].slice(slash + 1) : path[1];
    if (ns == HUB && name.indexOf('/') < 0) {
        name = `library/${name}`;
    }
    return {ns: ns, name: name, kind: path[2], reference: path[3], cached: upstreams.indexOf(ns) >= 0};
}

async function enter(r) {
    const it = wanted(r);
    if (r.method != 'GET' && r.method != 'HEAD') {
        return answers.refuse(r, 405, 'this is a cache: it can be pulled from, and nothing else');
    }
    if (!it) {
        return answers.refuse(r, 404, 'a cache answers here: manifests and blobs by digest, and manifests by tag');
    }
    if (!it.cached) {
        return answers.refuse(r, 404, `there is no cache of ${/^[a-z0-9.:-]+$/.test(it.ns) ? it.ns : 'that'} here`);
    }
    if (DIGEST.test(it.reference)) {
        const place = it.kind == 'blobs' ? 'blob' : 'manifest';
        return r.internalRedirect(`/${place}/${it.ns}/${it.name}/${it.reference}`);
    }
    if (it.kind == 'blobs' || !TAG.test(it.reference)) {
        return answers.refuse(r, 404, 'there is no such manifest or blob');
    }
    await byTag(r, it);
}

// Who has an older answer waits for a second; only what is not known yet is worth a longer wait.
async function byTag(r, it) {
    const rest = `${it.ns}/${it.name}/${it.reference}`;
    let head = await r.subrequest(`/tag/soon/${rest}`, {method: 'HEAD'});
    if (head.status == 504) {
        head = await r.subrequest(`/tag/patiently/${rest}`, {method: 'HEAD'});
    }
    const digest = head.headersOut['Docker-Content-Digest'];
    if (head.status != 200 || !DIGEST.test(digest)) {
        const answer = Number(head.headersOut['Upstream-Answer'] || head.status);
        return answers.refuseAs(r, answer, it.ns, it.name, it.reference);
    }
    if (r.method != 'HEAD') {
        return r.internalRedirect(`/manifest/${it.ns}/${it.name}/${digest}`);
    }
    r.headersOut['Docker-Content-Digest'] = digest;
    r.headersOut['Docker-Distribution-Api-Version'] = 'registry/2.0';
    r.headersOut['Content-Type'] = head.headersOut['Content-Type'];
    r.headersOut['Content-Length'] = head.headersOut['Manifest-Length'];
    r.status = 200;
    r.sendHeader();
    r.finish();
}

export default {enter};
