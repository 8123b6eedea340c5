"""The helper's sentences in German, by the English ones; ``&`` marks an access key."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "ok": "in Ordnung",
    "wrong tries counted": "Fehlversuche gezählt",
    "one try left": "noch ein Versuch",
    "blocked": "gesperrt",
    "must be changed": "muss geändert werden",
    "not set": "nicht gesetzt",
    "The token says that wrong PINs have been tried on it. It does not say how many tries are "
    "left.": (
        "Das Token sagt, dass schon falsche PINs versucht wurden. Wie viele Versuche bleiben, "
        "sagt es nicht."
    ),
    "The token says that one try is left before it blocks, so its PIN is not asked for here. If "
    "you are sure of the PIN, use it once in the token's own program: that restores the tries.": (
        "Das Token sagt, dass vor der Sperre noch ein Versuch bleibt, darum wird hier nicht nach "
        "der PIN gefragt. Wenn Sie die PIN sicher wissen, verwenden Sie sie einmal im Programm "
        "des Tokens: Dann zählt es wieder von vorn."
    ),
    "The token says that its PIN is blocked. A few kinds of token say so falsely; a blocked one "
    "takes no PIN.": (
        "Das Token sagt, dass seine PIN gesperrt ist. Bei wenigen Arten von Token stimmt das "
        "nicht; ein gesperrtes nimmt keine PIN an."
    ),
    "The token does not say how many tries are left.": (
        "Wie viele Versuche bleiben, sagt das Token nicht."
    ),
    "(no serial number)": "(keine Seriennummer)",
    "Signed. The service has your approval.": "Unterschrieben. Der Dienst hat Ihre Zustimmung.",
    "The service has the signature, but the request is {state}.": (
        "Der Dienst hat die Unterschrift, aber der Antrag ist im Zustand „{state}“."
    ),
    "Nothing was signed.": "Es wurde nichts unterschrieben.",
    "Stopped. Nothing was sent to the service.": (
        "Abgebrochen. An den Dienst wurde nichts gesendet."
    ),
    "Stopped. The service may not have the signature.": (
        "Abgebrochen. Vielleicht hat der Dienst die Unterschrift nicht."
    ),
    "The signature did not count: {reason}": "Die Unterschrift galt nicht: {reason}",
    "The statement is not text. Nothing was signed.": (
        "Die Erklärung ist kein Text. Es wurde nichts unterschrieben."
    ),
    "Plug in your own token, and no other, and start again with a new code.": (
        "Stecken Sie nur Ihr eigenes Token an und beginnen Sie neu mit einem neuen Code."
    ),
    "Code from the page:": "Code von der Seite:",
    "a code has {length} letters and digits, as the page shows it": (
        "ein Code hat {length} Buchstaben und Ziffern, so wie ihn die Seite zeigt"
    ),
    "No token is plugged in.": "Es ist kein Token angesteckt.",
    "No token software works. Install it, or name its file with --module.": (
        "Keine Token-Software funktioniert. Installieren Sie sie oder nennen Sie ihre Datei "
        "mit --module."
    ),
    "--server is needed": "--server fehlt",
    "This Python has no windows (Tk). Install python3-tk, or start without --window.": (
        "Dieses Python hat keine Fenster (Tk). Installieren Sie python3-tk oder starten Sie "
        "ohne --window."
    ),
    "The service's answer is not understood ({reason}).": (
        "Die Antwort des Dienstes ist unverständlich ({reason})."
    ),
    "The address does not answer like the service (HTTP {status}).": (
        "Die Adresse antwortet nicht wie der Dienst (HTTP {status})."
    ),
    "the service's address must begin with https://": (
        "die Adresse des Dienstes muss mit https:// beginnen"
    ),
    "the service's address must be like https://host or https://host:port": (
        "die Adresse des Dienstes muss wie https://host oder https://host:port aussehen"
    ),
    "The service sent the helper elsewhere, which is never followed.": (
        "Der Dienst verwies auf eine andere Adresse; dem wird nie gefolgt."
    ),
    "The service is not available now (HTTP {status}).": (
        "Der Dienst ist jetzt nicht erreichbar (HTTP {status})."
    ),
    "The service's answer is too long.": "Die Antwort des Dienstes ist zu lang.",
    "cannot read the certificates in {file}: {reason}": (
        "die Zertifikate in {file} sind nicht lesbar: {reason}"
    ),
    "{host} could not show that it is the service ({reason}). Nothing was sent.": (
        "{host} konnte nicht zeigen, dass es der Dienst ist ({reason}). Es wurde nichts gesendet."
    ),
    "The service at {host} does not answer ({reason}).": (
        "Der Dienst unter {host} antwortet nicht ({reason})."
    ),
    "it needs at least {minimum} characters": "sie braucht mindestens {minimum} Zeichen",
    "it may have at most {maximum} characters; letters such as ä count twice": (
        "sie darf höchstens {maximum} Zeichen haben; Buchstaben wie ä zählen doppelt"
    ),
    "it needs {classes} of these four: digits, capital letters, small letters, special "
    "characters": (
        "sie braucht {classes} von diesen vier: Ziffern, Großbuchstaben, Kleinbuchstaben, "
        "Sonderzeichen"
    ),
    "it may have none of {forbidden}": "sie darf keines von {forbidden} enthalten",
    "it may have only characters that can be shown": "sie darf nur sichtbare Zeichen enthalten",
    "yes": "ja",
    "Words of this job: {words}": "Wörter dieses Auftrags: {words}",
    "Go on only if the page shows the same words.": (
        "Machen Sie nur weiter, wenn die Seite dieselben Wörter zeigt."
    ),
    "Found: {label}. Leave it plugged in until this program says so.": (
        "Gefunden: {label}. Lassen Sie es angesteckt, bis dieses Programm fertig ist."
    ),
    "PIN of {label} (empty to stop):": "PIN von {label} (leer: abbrechen):",
    "  plugged in: {token}": "  angesteckt: {token}",
    "The token of {owner}.": "Das Token von {owner}.",
    "New PIN:": "Neue PIN:",
    "You are asked to sign this:": "Das sollen Sie unterschreiben:",
    "Stopped: no answer was given.": "Abgebrochen: Es kam keine Antwort.",
    "This PIN cannot be used: {reasons}.": "Diese PIN geht nicht: {reasons}.",
    "The new PIN once more:": "Die neue PIN noch einmal:",
    "The two were not the same.": "Die beiden waren nicht gleich.",
    "Type {yes} to sign it:": "Geben Sie {yes} ein, um zu unterschreiben:",
    "The service took another program's key for this one's. Nothing was changed.": (
        "Der Dienst hält den Schlüssel eines anderen Programms für den von diesem. Nichts "
        "wurde geändert."
    ),
    "{reason} Trying again; leave this open.": (
        "{reason} Neuer Versuch; lassen Sie das Programm offen."
    ),
    "{serial}  {label}  ({maker} {model})  PIN: {user_pin}, administrator PIN: {so_pin}": (
        "{serial}  {label}  ({maker} {model})  PIN: {user_pin}, Administrator-PIN: {so_pin}"
    ),
    "No token software is found. Install it, or name its file with --module.": (
        "Keine Token-Software gefunden. Installieren Sie sie oder nennen Sie ihre Datei mit "
        "--module."
    ),
    "The token lets the service in.": "Das Token lässt den Dienst zu.",
    "One possible administrator PIN did not fit.": "Eine mögliche Administrator-PIN passte nicht.",
    "The new PIN is set.": "Die neue PIN ist gesetzt.",
    "The token did not say whether the new PIN is set.": (
        "Das Token sagte nicht, ob die neue PIN gesetzt ist."
    ),
    "The token takes the new PIN.": "Das Token nimmt die neue PIN an.",
    "Your key signs again.": "Ihr Schlüssel unterschreibt wieder.",
    "The administrator PIN is changed.": "Die Administrator-PIN ist geändert.",
    "The token did not say whether the administrator PIN is changed.": (
        "Das Token sagte nicht, ob die Administrator-PIN geändert ist."
    ),
    "The token takes the new administrator PIN.": "Das Token nimmt die neue Administrator-PIN an.",
    "Done. Use the new PIN from now on.": "Fertig. Verwenden Sie ab jetzt die neue PIN.",
    "The new PIN works. The service still has to finish its part: leave the token plugged "
    "in and start again with a new code from the page.": (
        "Die neue PIN gilt. Der Dienst muss seinen Teil noch beenden: Lassen Sie das Token "
        "angesteckt und beginnen Sie neu mit einem neuen Code von der Seite."
    ),
    "It is not certain what the token did. Leave it plugged in and start again with a new "
    "code from the page.": (
        "Es ist nicht sicher, was das Token getan hat. Lassen Sie es angesteckt und beginnen "
        "Sie neu mit einem neuen Code von der Seite."
    ),
    "Nothing was changed on the token.": "Am Token wurde nichts geändert.",
    "The token refused the administrator PIN. Nothing was changed.": (
        "Das Token lehnte die Administrator-PIN ab. Nichts wurde geändert."
    ),
    "The token's administrator PIN is blocked. Nothing was changed.": (
        "Die Administrator-PIN des Tokens ist gesperrt. Nichts wurde geändert."
    ),
    "Get a new code from the page and start again.": (
        "Holen Sie einen neuen Code von der Seite und beginnen Sie neu."
    ),
    "Go to the registration office with the token.": (
        "Gehen Sie mit dem Token zur Registrierungsstelle."
    ),
    "The service goes on by itself; the page shows how far it is.": (
        "Der Dienst macht von selbst weiter; die Seite zeigt, wie weit er ist."
    ),
    "The answer of the service came too late to be used.": "Die Antwort des Dienstes kam zu spät.",
    "Token to be reset: {serial}": "Token, dessen PIN neu gesetzt wird: {serial}",
    "An earlier attempt is still running. Get a new code later and start again.": (
        "Ein früherer Versuch läuft noch. Holen Sie später einen neuen Code und beginnen Sie neu."
    ),
    "The service's order could not be used by this program.": (
        "Mit dem Auftrag des Dienstes kann dieses Programm nichts anfangen."
    ),
    "The service could not be told ({reason}); it finds out by itself. Look at the page in "
    "a few minutes and do what it says.": (
        "Der Dienst war nicht zu erreichen ({reason}); er findet es selbst heraus. Sehen Sie "
        "in einigen Minuten auf die Seite und tun Sie, was dort steht."
    ),
    "Look at the page.": "Sehen Sie auf die Seite.",
    "Stopped. Nothing was changed; get a new code to start again.": (
        "Abgebrochen. Nichts wurde geändert; für einen neuen Beginn holen Sie einen neuen Code."
    ),
    "Stopped.": "Abgebrochen.",
    "An earlier attempt may still be running; waiting {seconds} seconds.": (
        "Vielleicht läuft ein früherer Versuch noch; {seconds} Sekunden Wartezeit."
    ),
    "Statement": "Erklärung",
    "Token": "Token",
    "PIN": "PIN",
    "New PIN": "Neue PIN",
    "Code": "Code",
    "Words": "Wörter",
    "Done": "Fertig",
    "Asking the service …": "Der Dienst wird gefragt …",
    "One moment …": "Einen Augenblick …",
    "Not now: the token is being changed, and closing could leave it half done. It takes "
    "seconds.": (
        "Nicht jetzt: Das Token wird geändert; nach dem Schließen wäre es vielleicht nur halb "
        "fertig. Es dauert Sekunden."
    ),
    "The service has not answered yet. If you close now, it finds out by itself, but "
    "later. Close once more to do so.": (
        "Der Dienst hat noch nicht geantwortet. Wenn Sie jetzt schließen, findet er es selbst "
        "heraus, aber später. Dafür schließen Sie noch einmal."
    ),
    "There is no screen for a window here. Start without --window.": (
        "Hier gibt es keinen Bildschirm für ein Fenster. Starten Sie ohne --window."
    ),
    "Looking for the token …": "Das Token wird gesucht …",
    "This program failed. Look at the page.": (
        "Dieses Programm hat versagt. Sehen Sie auf die Seite."
    ),
    "Telling the service …": "Der Dienst wird verständigt …",
    "Token helper": "Token-Helfer",
    "Sho&w what I type": "Zei&gen, was ich eingebe",
    "{label}, number {serial}": "{label}, Nummer {serial}",
    "Choose the new PIN": "Wählen Sie die neue PIN",
    "&New PIN": "&Neue PIN",
    "The new PIN &once more": "Die neue PIN noch ein&mal",
    "The token of {owner}": "Das Token von {owner}",
    "The token “{label}”": "Das Token „{label}“",
    "{minimum} to {maximum} characters": "{minimum} bis {maximum} Zeichen",
    "exactly {minimum} characters": "genau {minimum} Zeichen",
    "at least {classes} of these four: digits, capital letters, small letters, special "
    "characters": (
        "mindestens {classes} von diesen vier: Ziffern, Großbuchstaben, Kleinbuchstaben, "
        "Sonderzeichen"
    ),
    "none of {forbidden}": "keines von {forbidden}",
    "the same in both fields": "in beiden Feldern dieselbe",
    "The token is being changed": "Das Token wird geändert",
    "Leave the token plugged in. This takes seconds.": (
        "Lassen Sie das Token angesteckt. Es dauert Sekunden."
    ),
    "&Set this PIN": "Diese PIN &setzen",
    "S&top": "&Abbrechen",
    "The page showed other words. Nothing was changed. Close every helper that you did not "
    "start yourself, and tell the help desk.": (
        "Die Seite zeigte andere Wörter. Nichts wurde geändert. Schließen Sie jeden Helfer, "
        "den Sie nicht selbst gestartet haben, und sagen Sie es dem Help-Desk."
    ),
    "Stopped. Nothing was changed.": "Abgebrochen. Nichts wurde geändert.",
    "Please start again": "Bitte beginnen Sie neu",
    "The registration office has to help": "Die Registrierungsstelle muss helfen",
    "Tell the help desk": "Sagen Sie es dem Help-Desk",
    "The service goes on by itself": "Der Dienst macht von selbst weiter",
    "This did not work": "Das hat nicht geklappt",
    "Type the code from the page": "Geben Sie den Code von der Seite ein",
    "Plug your token in. The page of the service shows you a code.": (
        "Stecken Sie Ihr Token an. Die Seite des Dienstes zeigt Ihnen einen Code."
    ),
    "&Code": "&Code",
    "Is this your institution's service?": "Ist das der Dienst Ihrer Einrichtung?",
    "A link asks this program to work with:": (
        "Ein Link bittet dieses Programm, hiermit zu arbeiten:"
    ),
    "Go on only if you clicked the link on the page of your institution just now, and the "
    "address above is the one that your institution gave you.": (
        "Machen Sie nur weiter, wenn Sie gerade eben auf der Seite Ihrer Einrichtung auf den "
        "Link geklickt haben und die Adresse oben die ist, die Ihre Einrichtung genannt hat."
    ),
    "Compare these three words": "Vergleichen Sie diese drei Wörter",
    "Look at the page in your browser now. It must show:": (
        "Sehen Sie jetzt auf die Seite im Browser. Sie muss zeigen:"
    ),
    "The same words show that the page and this program speak of the same thing. Other "
    "words mean that somebody may be between you and the service.": (
        "Dieselben Wörter zeigen, dass Seite und Programm vom Selben sprechen. Andere Wörter "
        "heißen, dass vielleicht jemand zwischen Ihnen und dem Dienst steht."
    ),
    "Read what you are asked to sign": "Lesen Sie, was Sie unterschreiben sollen",
    "Call the person on a number that you know, or meet them: did they ask for this? In "
    "doubt, do not sign.": (
        "Rufen Sie die Person unter einer Nummer an, die Sie kennen, oder treffen Sie sie: Hat "
        "sie darum gebeten? Im Zweifel unterschreiben Sie nicht."
    ),
    "The PIN of your token": "Die PIN Ihres Tokens",
    "Token: {label}. The PIN goes to this token and nowhere else.": (
        "Token: {label}. Die PIN geht an dieses Token und sonst nirgendwohin."
    ),
    "&PIN": "&PIN",
    "Service: {server}": "Dienst: {server}",
    "&Address of the service": "&Adresse des Dienstes",
    "&Go on": "&Weiter",
    "&Yes, go on": "&Ja, weiter",
    "&No, stop": "&Nein, abbrechen",
    "&Yes, the same words": "&Ja, dieselben Wörter",
    "&No, other words": "&Nein, andere Wörter",
    "Plug in the token": "Stecken Sie das Token an",
    "This is about the token with the number": "Es geht um das Token mit der Nummer",
    "Plug in your own token, and no other": "Stecken Sie nur Ihr eigenes Token an",
    "Plugged in now:": "Jetzt angesteckt:",
    "No token is seen now. Wait until its light is on, then look again.": (
        "Jetzt ist kein Token zu sehen. Warten Sie, bis sein Licht leuchtet, und suchen Sie "
        "noch einmal."
    ),
    "&Look again": "Noch einmal &suchen",
    "&Stop": "&Abbrechen",
    "&Go on to sign": "&Weiter zum Unterschreiben",
    "Do &not sign": "&Nicht unterschreiben",
    "&Sign": "&Unterschreiben",
    "Signed": "Unterschrieben",
    "The service has your approval. You can unplug your token.": (
        "Der Dienst hat Ihre Zustimmung. Sie können Ihr Token abziehen."
    ),
    "Your token works again": "Ihr Token funktioniert wieder",
    "Use the new PIN from now on. Nobody else knows it.": (
        "Verwenden Sie ab jetzt die neue PIN. Niemand sonst kennt sie."
    ),
    "Close your browser and your mail program once: programs that had the token open "
    "before may keep the old state until then.": (
        "Schließen Sie einmal Ihren Browser und Ihr Mail-Programm: Programme, die das Token "
        "schon vorher offen hatten, behalten bis dahin vielleicht den alten Zustand."
    ),
    "&Close": "S&chließen",
    "A code has {length} letters and digits, as the page shows it.": (
        "Ein Code hat {length} Buchstaben und Ziffern, so wie ihn die Seite zeigt."
    ),
    "Type the PIN, or stop.": "Geben Sie die PIN ein, oder brechen Sie ab.",
    "&Start again with a new code": "Mit einem neuen Code &beginnen",
    "The driver {path} cannot be loaded ({why}). Install the token's software, or name the "
    "right file with --module.": (
        "Der Treiber {path} lässt sich nicht laden ({why}). Installieren Sie die Software des "
        "Tokens oder nennen Sie die richtige Datei mit --module."
    ),
    "The token {serial} is not plugged in. Seen: {seen}. Plug in the right token and start "
    "again.": (
        "Das Token {serial} ist nicht angesteckt. Gesehen: {seen}. Stecken Sie das richtige an "
        "und beginnen Sie neu."
    ),
    "The token {serial} is seen more than once. Leave only one plugged in and start again; if it "
    "is the only one, go to the registration office.": (
        "Das Token {serial} ist mehr als einmal zu sehen. Lassen Sie nur eines angesteckt und "
        "beginnen Sie neu; ist es das einzige, gehen Sie zur Registrierungsstelle."
    ),
    "The token says that the PIN is wrong. It counts wrong tries: be sure of the PIN "
    "before you try again.": (
        "Das Token sagt, dass die PIN falsch ist. Es zählt falsche Versuche: Seien Sie sich "
        "der PIN sicher, bevor Sie es noch einmal versuchen."
    ),
    "The token refuses the administrator PIN that the service has for it. Do not try "
    "again; go to the registration office.": (
        "Das Token lehnt die Administrator-PIN ab, die der Dienst für es hat. Versuchen Sie es "
        "nicht noch einmal; gehen Sie zur Registrierungsstelle."
    ),
    "The token's PIN is blocked. Ask the service for a reset.": (
        "Die PIN des Tokens ist gesperrt. Bitten Sie den Dienst um eine neue."
    ),
    "The token's administrator PIN is blocked. Nothing can reset it; go to the "
    "registration office.": (
        "Die Administrator-PIN des Tokens ist gesperrt. Nichts kann sie zurücksetzen; gehen "
        "Sie zur Registrierungsstelle."
    ),
    "One more wrong PIN blocks the token. Nothing was tried.": (
        "Noch eine falsche PIN sperrt das Token. Es wurde nichts versucht."
    ),
    "One more wrong administrator PIN would end the token for good, so nothing was tried. "
    "Go to the registration office.": (
        "Noch eine falsche Administrator-PIN wäre das Ende des Tokens, darum wurde nichts "
        "versucht. Gehen Sie zur Registrierungsstelle."
    ),
    "The token does not take this PIN ({ckr}). Choose one of another length and without "
    "unusual characters.": (
        "Das Token nimmt diese PIN nicht an ({ckr}). Wählen Sie eine mit anderer Länge und "
        "ohne ungewöhnliche Zeichen."
    ),
    "This kind of token cannot be reset this way ({style}). Nothing was changed; go to the "
    "registration office.": (
        "Bei dieser Art Token geht es so nicht ({style}). Nichts wurde geändert; gehen Sie zur "
        "Registrierungsstelle."
    ),
    "There is not exactly one key for signing on the token (found: {found}). Go to the "
    "registration office.": (
        "Auf dem Token ist nicht genau ein Schlüssel zum Unterschreiben (gefunden: {found}). "
        "Gehen Sie zur Registrierungsstelle."
    ),
    "There is no certificate on the token. Go to the registration office.": (
        "Auf dem Token ist kein Zertifikat. Gehen Sie zur Registrierungsstelle."
    ),
    "The token was pulled out or stopped answering. Plug it in again, leave it in, and "
    "start again.": (
        "Das Token wurde abgezogen oder antwortet nicht mehr. Stecken Sie es wieder an, lassen "
        "Sie es angesteckt und beginnen Sie neu."
    ),
    "The token or its driver failed ({ckr}). Plug the token in again and start again; if "
    "it happens twice, go to the registration office.": (
        "Das Token oder sein Treiber hat versagt ({ckr}). Stecken Sie das Token neu an und "
        "beginnen Sie neu; geschieht es zweimal, gehen Sie zur Registrierungsstelle."
    ),
    "The service needs a newer helper. Install the one that your institution offers.": (
        "Der Dienst braucht einen neueren Helfer. Installieren Sie den, den Ihre Einrichtung "
        "anbietet."
    ),
    "The service speaks a protocol that is too old to be safe. Tell the help desk.": (
        "Der Dienst spricht ein Protokoll, das zu alt ist, um sicher zu sein. Sagen Sie es dem "
        "Help-Desk."
    ),
    "the system's proxy setting ({place}) cannot be used; it must be http://host:port": (
        "die Proxy-Einstellung des Systems ({place}) ist nicht brauchbar; sie muss "
        "http://host:port sein"
    ),
    "This link is not of the service. Nothing was done.": (
        "Dieser Link ist nicht vom Dienst. Es wurde nichts getan."
    ),
    "This link leads to {server}, but this helper works with {registered} only. Nothing "
    "was done.": (
        "Dieser Link führt zu {server}, aber dieser Helfer arbeitet nur mit {registered}. Es "
        "wurde nichts getan."
    ),
    "Links are opened by this program now: {place}": (
        "Links werden jetzt von diesem Programm geöffnet: {place}"
    ),
    "Links are not opened by this program any more.": (
        "Links werden nicht mehr von diesem Programm geöffnet."
    ),
    "The path of this program cannot stand in a desktop entry.": (
        "Der Pfad dieses Programms kann nicht in einem Desktop-Eintrag stehen."
    ),
    "The program xdg-mime is missing or failed. Install the package xdg-utils.": (
        "Das Programm xdg-mime fehlt oder hat versagt. Installieren Sie das Paket xdg-utils."
    ),
    "On macOS only the application can open links. Install Token Helper.app.": (
        "Auf macOS kann nur die Anwendung Links öffnen. Installieren Sie Token Helper.app."
    ),
    "Type {yes} if this is your institution's service:": (
        "Geben Sie {yes} ein, wenn das der Dienst Ihrer Einrichtung ist:"
    ),
    "protocol": "Protokoll",
    "No token software is found.": "Es ist keine Token-Software zu finden.",
    "Install your token's software, or name its file with --module.": (
        "Installieren Sie die Software Ihres Tokens oder nennen Sie ihre Datei mit --module."
    ),
    "No windows (Tk): install python3-tk for the window.": (
        "Keine Fenster (Tk): Für das Fenster installieren Sie python3-tk."
    ),
    "The window can be used (Tk).": "Das Fenster ist verwendbar (Tk).",
    "Reader or token: {name}": "Leser oder Token: {name}",
    "No USB reader or token is seen. Is it plugged in?": (
        "Kein USB-Leser oder Token zu sehen. Ist es angesteckt?"
    ),
    "The smart card service pcscd does not run.": "Der Chipkartendienst pcscd läuft nicht.",
    "sudo apt-get install pcscd; sudo systemctl enable --now pcscd.socket": (
        "sudo apt-get install pcscd; sudo systemctl enable --now pcscd.socket"
    ),
    "You may not use the smart card service pcscd.": (
        "Sie dürfen den Chipkartendienst pcscd nicht benützen."
    ),
    "Log in at the computer itself, or let an administrator allow it (polkit).": (
        "Melden Sie sich direkt am Computer an, oder lassen Sie es jemanden aus der "
        "Administration erlauben (polkit)."
    ),
    "The smart card service pcscd does not answer ({reason}).": (
        "Der Chipkartendienst pcscd antwortet nicht ({reason})."
    ),
    "sudo systemctl restart pcscd.socket pcscd": "sudo systemctl restart pcscd.socket pcscd",
    "The smart card service pcscd answers.": "Der Chipkartendienst pcscd antwortet.",
    "The smart card service of Windows runs.": "Der Chipkartendienst von Windows läuft.",
    "The smart card service of Windows does not run.": (
        "Der Chipkartendienst von Windows läuft nicht."
    ),
    "Plug the token in; if that does not help: sc start SCardSvr as an administrator.": (
        "Stecken Sie das Token an; wenn das nicht hilft: sc start SCardSvr mit "
        "Administratorrechten."
    ),
    "{module}: you may not read this file": "{module}: Sie dürfen diese Datei nicht lesen",
    "Let an administrator make it readable for everybody.": (
        "Lassen Sie sie von der Administration für alle lesbar machen."
    ),
    "Install the token's software again, for this kind of computer.": (
        "Installieren Sie die Software des Tokens neu, passend zu diesem Computer."
    ),
    "{module}: works, 1 token": "{module}: arbeitet, 1 Token",
    "{module}: works, {count} tokens": "{module}: arbeitet, {count} Token",
    "cannot be told from another token": "ist von einem anderen nicht zu unterscheiden",
    "can be reset ({style}), family {family}": (
        "kann neu gesetzt werden ({style}), Familie {family}"
    ),
    "cannot be reset ({style}), family {family}": (
        "kann nicht neu gesetzt werden ({style}), Familie {family}"
    ),
    "nobody knows yet whether it can be reset": (
        "es ist noch nicht bekannt, ob man sie neu setzen kann"
    ),
    "Go to the registration office with it.": "Gehen Sie damit zur Registrierungsstelle.",
    "Check the address, the network and the proxy.": "Prüfen Sie Adresse, Netz und Proxy.",
    "over the proxy {host}": "über den Proxy {host}",
    "directly": "direkt",
    "The service {server} answers, {way}.": "Der Dienst {server} antwortet, {way}.",
    "The service asks for a signature that is no proof. Nothing was changed.": (
        "Der Dienst verlangt eine Unterschrift, die kein Nachweis ist. Es wurde nichts geändert."
    ),
    "The service asks for a weaker PIN than this program accepts.": (
        "Der Dienst verlangt eine schwächere PIN, als dieses Programm annimmt."
    ),
    "The driver {path} does not answer. Plug the token in again and start again; if it happens "
    "twice, restart the computer.": (
        "Der Treiber {path} antwortet nicht. Stecken Sie das Token neu ein und beginnen Sie von "
        "vorn; geschieht es zweimal, starten Sie den Computer neu."
    ),
    "The driver {path} broke down ({how}). Plug the token in again and start again; if it happens "
    "twice, install the token's software anew.": (
        "Der Treiber {path} ist abgestürzt ({how}). Stecken Sie das Token neu ein und beginnen Sie "
        "von vorn; geschieht es zweimal, installieren Sie die Software des Tokens neu."
    ),
}
