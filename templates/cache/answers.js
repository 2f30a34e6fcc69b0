// Errors in the JSON form of the registry API (distribution-spec, "Error Codes").

const CODES = {404: 'NOT_FOUND', 405: 'UNSUPPORTED', 429: 'TOOMANYREQUESTS', 503: 'UNAVAILABLE'};

function refuse(r, status, message) {
    r.headersOut['Content-Type'] = 'application/json';
    r.headersOut['Docker-Distribution-Api-Version'] = 'registry/2.0';
    if (status == 429 || status == 503) {
        r.headersOut['Retry-After'] = '5';
    }
    r.return(status, JSON.stringify({errors: [{code: CODES[status], message: message}]}));
}

// Whose answer it was, and to what. Of what it answers, clients get the three at which they go on to the upstream.
function refuseAs(r, answer, ns, name, reference) {
    const what = name + (reference.indexOf(':') < 0 ? ':' : '@') + reference;
    if (answer == 401 || answer == 403 || answer == 404) {
        return refuse(r, 404, `${ns} answers ${answer} for ${what}`);
    }
    if (answer == 429) {
        return refuse(r, 429, `${ns} answers 429 for ${what}`);
    }
    const said = Number(answer) >= 400 && answer != 504 ? `answers ${answer}` : answer == 502 ? 'sends what is none' : 'does not answer';
    refuse(r, 503, `${ns} ${said} for ${what}`);
}

export default {refuse, refuseAs};
