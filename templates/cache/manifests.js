// Manifests and what tags mean, from a registry in the internet. What it sends is checked before anyone gets it.
import crypto from 'crypto';
import answers from 'answers.js';
import upstream from 'upstream.js';

// HEAD /tag/PATIENCE/NS/NAME/TAG. The statuses are those at which nginx goes on with what it has, or does not.
async function tag(r) {
    const v = r.variables;
    const soon = v.patience == 'soon';
    const url = `${v.registry}/v2/${v.name}/manifests/${v.reference}`;
    let answer;
    if (soon && upstream.isAway(v.ns)) {
        r.headersOut['Upstream-Answer'] = '504';
        return r.return(503);
    }
    try {
        const anyone = await upstream.login(r, 'anyone');
        const reply = await upstream.ask(r, 'HEAD', url, anyone, soon);
        const digest = reply.headersOut['Docker-Content-Digest'];
        if (reply.status == 200 && /^sha256:[0-9a-f]{64}$/.test(digest)) {
            r.headersOut['Docker-Content-Digest'] = digest;
            r.headersOut['Content-Type'] = reply.headersOut['Content-Type'];
            r.headersOut['Manifest-Length'] = reply.headersOut['Content-Length'];
            return r.return(200);
        }
        answer = reply.status == 200 ? answers.GARBAGE : reply.status;
    } catch (e) {
        answer = upstream.answerIn(e);
    }
    if (answers.SILENCE.indexOf(answer) >= 0) {
        upstream.noteAway(v.ns);
    }
    upstream.give(r, answer);
}

// GET /manifest/NS/NAME/DIGEST. An account lifts the limit and never widens the audience: it is used for what anyone may
// read, which is asked first.
async function manifest(r) {
    const v = r.variables;
    const url = `${v.registry}/v2/${v.name}/manifests/${v.reference}`;
    let reply;
    try {
        const anyone = await upstream.login(r, 'anyone');
        if (v.login) {
            const head = await upstream.ask(r, 'HEAD', url, anyone, false);
            if (head.status != 200) {
                return upstream.refuseAs(r, head.status);
            }
            reply = await asAccount(r, url);
        }
        if (!reply || reply.status != 200) {
            reply = await upstream.ask(r, 'GET', url, anyone, false);
        }
    } catch (e) {
        return upstream.refuseAs(r, upstream.answerIn(e));
    }
    if (reply.status != 200) {
        return upstream.refuseAs(r, reply.status);
    }
    const body = reply.responseBuffer;
    if (`sha256:${crypto.createHash('sha256').update(body).digest('hex')}` != v.reference) {
        return upstream.refuseAs(r, answers.GARBAGE);
    }
    r.headersOut['Content-Type'] = reply.headersOut['Content-Type'];
    r.headersOut['Docker-Content-Digest'] = v.reference;
    r.headersOut['ETag'] = `"${v.reference}"`;
    r.return(200, body);
}

async function asAccount(r, url) {
    try {
        const account = await upstream.login(r, 'account');
        return await upstream.ask(r, 'GET', url, account, false);
    } catch (e) {
        r.error(`the account at ${r.variables.ns} is not accepted`);
        return null;
    }
}

export default {manifest, tag};
