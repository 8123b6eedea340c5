/*
 * The yardstick of token_flow: the whole reset as a minimal C program, one process.
 *
 * Arguments: module, slot. Standard input: SO PIN, next SO PIN, new user PIN, a line each.
 * SO login, InitPIN, user login, ECDSA signature with the first private key, SO login, SetPIN, SO
 * login: the calls of the driver's order, and no other.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST *p11;

static void must(CK_RV rv, const char *what)
{
    if (rv == CKR_OK)
        return;
    fprintf(stderr, "%s: %#lx\n", what, rv);
    exit(1);
}

static CK_SESSION_HANDLE login(CK_SLOT_ID slot, CK_USER_TYPE who, char *pin)
{
    CK_SESSION_HANDLE session;
    must(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), "open");
    must(p11->C_Login(session, who, (CK_BYTE *)pin, strlen(pin)), "login");
    return session;
}

static void logout(CK_SESSION_HANDLE session)
{
    must(p11->C_Logout(session), "logout");
    must(p11->C_CloseSession(session), "close");
}

static void line(char into[256])
{
    if (!fgets(into, 256, stdin))
        exit(2);
    into[strcspn(into, "\n")] = '\0';
}

static void sign(CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE of_class = {CKA_CLASS, &class, sizeof class};
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE key;
    CK_BYTE digest[32] = {1}, signature[128];
    CK_ULONG found = 0, length = sizeof signature;
    must(p11->C_FindObjectsInit(session, &of_class, 1), "find");
    must(p11->C_FindObjects(session, &key, 1, &found), "find");
    must(p11->C_FindObjectsFinal(session), "find");
    must(found == 1 ? CKR_OK : CKR_GENERAL_ERROR, "key");
    must(p11->C_SignInit(session, &mechanism, key), "sign");
    must(p11->C_Sign(session, digest, sizeof digest, signature, &length), "sign");
}

int main(int count, char **words)
{
    char so_pin[256], next_so_pin[256], new_pin[256];
    CK_SESSION_HANDLE session;
    void *module = count == 3 ? dlopen(words[1], RTLD_NOW) : NULL;
    CK_C_GetFunctionList list = module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;
    if (!list)
        return 2;
    CK_SLOT_ID slot = strtoul(words[2], NULL, 0);
    line(so_pin), line(next_so_pin), line(new_pin);
    must(list(&p11), "list");
    must(p11->C_Initialize(NULL), "initialize");
    session = login(slot, CKU_SO, so_pin);
    must(p11->C_InitPIN(session, (CK_BYTE *)new_pin, strlen(new_pin)), "init pin");
    logout(session);
    session = login(slot, CKU_USER, new_pin);
    sign(session);
    logout(session);
    session = login(slot, CKU_SO, so_pin);
    must(p11->C_SetPIN(session, (CK_BYTE *)so_pin, strlen(so_pin), (CK_BYTE *)next_so_pin,
                       strlen(next_so_pin)), "set pin");
    logout(session);
    logout(login(slot, CKU_SO, next_so_pin));
    must(p11->C_Finalize(NULL), "finalize");
    return 0;
}
